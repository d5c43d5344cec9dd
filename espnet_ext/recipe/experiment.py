"""``--exp NAME``: an experiment by name becomes the training configuration."""

import dataclasses
import re
from pathlib import Path
from typing import List, Sequence

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.overrides import OVERRIDE, parse_override
from espnet_ext.experiments.parts import missing_parts
from espnet_ext.experiments.resolve import Resolved, resolve
from espnet_ext.experiments.show import show_screen
from espnet_ext.files import atomic_write
from espnet_ext.recipe.context import words
from espnet_ext.recipe.options import RecipeOptions

SHOWN_PARTS = 12
BUILDING_STAGES = {10, 11}


def dotted_words(asr_args: str) -> List[str]:
    """``encoder.dropout=0.2`` as ESPnet writes it: ``--encoder_conf dropout=0.2``."""
    result: List[str] = []
    previous = ""
    for word in words("asr_args", asr_args):
        # behind an option that has no value yet it is that option's value
        takes_value = previous.startswith("--") and "=" not in previous
        if OVERRIDE.fullmatch(word) and not takes_value:
            section, _, rest = word.partition(".")
            if "=" in section:
                result.append(f"--{word}")
            else:
                section = section.removesuffix("_conf")
                result += [f"--{section}_conf", rest]
        else:
            result.append(word)
        previous = word
    return result


def overrides_of(asr_args: str) -> list:
    """The dotted words alone, to check them with the experiment."""
    flat = dotted_words(asr_args)
    pairs = []
    for option, value in zip(flat, flat[1:]):
        if re.fullmatch(r"--\w+_conf", option) and OVERRIDE.fullmatch(value):
            pairs.append(parse_override(f"{option[2:]}.{value}"))
    return pairs


def is_overlay(file: str) -> bool:
    """Whether a training configuration only changes another one."""
    return Path(file).is_file() and "base" in strict_yaml.load(Path(file)).content


def refuse_missing_parts(exp: Resolved, stages: Sequence[int]) -> None:
    """Stop before stage 1 if a selected stage needs a part that does not exist yet.

    Raises:
        OptionError: Names the parts.
    """
    due = sorted(BUILDING_STAGES.intersection(stages))
    missing = missing_parts(exp.config) if due else []
    if missing:
        more = len(missing) - SHOWN_PARTS
        listed = missing[:SHOWN_PARTS] + ([f"and {more} more"] if more > 0 else [])
        raise OptionError(
            f"stage {due[0]} needs what is not implemented yet:\n    "
            + "\n    ".join(listed),
            where=f"--exp {exp.name}",
            next_step=f"espnet-ext exp check {exp.name}; --stop_stage 9 prepares the "
            "data meanwhile",
        )


def with_experiment(options: RecipeOptions, stages: Sequence[int]) -> RecipeOptions:
    """The options with the experiment resolved and written below expdir.

    Raises:
        UserError: The name or a value is wrong, or a part does not exist yet.
    """
    words_ = dotted_words(options.asr_args)
    if words_ != words("asr_args", options.asr_args):
        options = dataclasses.replace(options, asr_args=" ".join(words_))
    name = options.exp or (options.asr_config if is_overlay(options.asr_config) else "")
    if not name:
        return options
    conf = find_conf()
    resolve(name, overrides_of(options.asr_args), conf)  # only to check the values
    exp = resolve(name, (), conf)
    refuse_missing_parts(exp, stages)
    file = Path(options.expdir) / "experiments" / f"{exp.name}.yaml"
    text = show_screen(exp)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        with atomic_write(file) as target:
            target.write(text)
    changed = {"asr_config": str(file), "exp": exp.name}
    if not options.inference_config and exp.inference_config:
        changed["inference_config"] = exp.inference_config
    return dataclasses.replace(options, **changed)
