"""Configuration files checked before any stage runs, and read as flat settings.

The valid keys are found by reading ESPnet's and our own source text for the options it
declares: importing ESPnet to ask its parser would take ten seconds.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.names import nearest
from espnet_ext.recipe.context import words
from espnet_ext.recipe.options import RecipeOptions

OPTION = re.compile(r"""["']--([a-z][a-z0-9_]*)(?:\{\w+\})?(_conf)?["']""")
CHOICE = re.compile(r"""ClassChoices\(\s*(?:name=)?["'](\w+)["']""")
TRAIN_SOURCES = {
    "espnet2": ("tasks/abs_task.py", "tasks/asr.py", "train/trainer.py"),
    "espnet_ext": ("tasks/*.py", "train/*.py", "bin/asr_train.py"),
}
LM_SOURCES = {"espnet2": ("tasks/abs_task.py", "tasks/lm.py", "train/trainer.py")}
DECODE_SOURCES = {
    "espnet2": ("bin/asr_inference.py",),
    "espnet_ext": (
        "bin/asr_inference.py",
        "inference/fusion.py",
        "inference/word_search.py",
    ),
}
# set by the recipe itself: in a file they would be overridden or do harm
RESERVED = {
    "output_dir": "the recipe names the directory (--asr_tag, --asr_exp)",
    "token_list": "stage 5 makes it (--token_type, --nbpe)",
    "lexicon": "stage 5 makes it (--lexicon)",
    "normalize": "stage 11 adds it (--feats_normalize), stage 10 must not have it",
}


def load_yaml(path: Path) -> Dict[str, Any]:
    """A mapping read from a YAML file.

    Raises:
        MissingInputError: No such file; names one with a similar name.
        FormatError: Not YAML, a key twice, no mapping, or a number that YAML takes for
            text (1e-3); with its line.
    """
    return strict_yaml.load(path).content


def flatten(content: Any, prefix: str = "") -> Dict[str, Any]:
    """Nested mappings as 'outer.inner' -> value."""
    if not isinstance(content, dict):
        return {prefix: content}
    flat: Dict[str, Any] = {}
    for key, value in content.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def known_keys(sources: Dict[str, Sequence[str]]) -> FrozenSet[str]:
    """Option names that the source files declare (empty without ESPnet)."""
    found = set()
    for package, patterns in sources.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return frozenset()
        root = Path(spec.origin).parent
        for file in (f for pattern in patterns for f in sorted(root.glob(pattern))):
            text = file.read_text(encoding="utf-8")
            for name, conf in OPTION.findall(text):
                found.update(f"{name}{suffix}{conf}" for suffix in ("", "2", "3"))
            for name in CHOICE.findall(text):
                found.update((name, f"{name}_conf"))
    return frozenset(found)


def check_config(
    path: Path, sources: Dict[str, Sequence[str]], reserved: Iterable[str] = ()
) -> None:
    """Refuse a configuration file with unknown or reserved top-level keys.

    Raises:
        MissingInputError, FormatError: As load_yaml.
        OptionError: An unknown key, with its line and the nearest valid one.
    """
    document = strict_yaml.load(path)
    valid = known_keys(sources)
    for key, value in document.content.items():
        where = document.where(key)
        if valid and key not in valid:
            close = nearest(str(key), valid)
            raise OptionError(
                f"unknown key {key!r}",
                where=where,
                next_step=f"did you mean {close!r}?" if close else None,
            )
        if key in reserved and value is not None:
            raise OptionError(
                f"{key!r} must not be set here: {RESERVED[key]}", where=where
            )
        if str(key).endswith("_conf") and not isinstance(value, (dict, type(None))):
            raise OptionError(
                f"{key!r} holds {type(value).__name__} {value!r}",
                where=where,
                expected="a mapping of constructor arguments",
            )


def check_all(options: RecipeOptions, stages: Sequence[int]) -> None:
    """Check the configuration files that the selected stages will read."""
    if options.asr_config and {10, 11}.intersection(stages):
        check_config(Path(options.asr_config), TRAIN_SOURCES, RESERVED)
    if options.lm_config and {6, 7}.intersection(stages):
        check_config(Path(options.lm_config), LM_SOURCES, ("output_dir", "token_list"))
    if options.inference_config and 12 in stages:
        check_config(Path(options.inference_config), DECODE_SOURCES)
    for name in ("asr_args", "lm_args", "inference_args", "local_data_opts"):
        words(name, getattr(options, name))


def settings_of(
    config: str, arguments: str, only: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """A configuration and the arguments that override it as flat settings.

    Args:
        config: YAML file, or empty.
        arguments: ``--key value`` and ``--key_conf name=value`` as on a command line.
        only: Top-level keys to keep; None for all.
    """
    flat = flatten(load_yaml(Path(config))) if config else {}
    for key, value in _pairs(words("arguments", arguments)):
        if key.endswith("_conf") and "=" in value:
            name, _, value = value.partition("=")
            key = f"{key}.{name}"
        flat[key] = value
    if only is None:
        return flat
    return {k: v for k, v in flat.items() if k.partition(".")[0] in only}


def _pairs(arguments: List[str]) -> Iterable[Tuple[str, str]]:
    key = ""
    for word in arguments:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            if equals:
                yield key, value
        elif key:
            yield key, word
