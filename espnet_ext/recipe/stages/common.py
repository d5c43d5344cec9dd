"""What the commands of stages 6-14 share: modules, data and token arguments."""

import dataclasses
import os
import shlex
from pathlib import Path
from typing import List, Sequence

from espnet_ext.errors import OptionError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe.config import settings_of
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.parse import FIELDS, sampling_rate
from espnet_ext.recipe.stages.filter import dumped_text
from espnet_ext.recipe.stages.format import STAMP_FILE, dumped_dir, speech_source

# ESPnet's commands with our classes known; they run stock models as well
ASR_TRAIN = "espnet_ext.bin.asr_train"
ASR_INFERENCE = "espnet_ext.bin.asr_inference"
TEXT_SETTINGS = ("cleaner", "g2p", "nlsyms_txt")


def espnet_token_type(context: Context, token_type: str) -> str:
    """What ESPnet is told: pieces of subword-nmt and phonemes look like words to it."""
    if token_type == context.options.token_type and context.layout.cuts_text:
        return "word"
    return token_type


def token_arguments(context: Context, token_type: str) -> List[str]:
    """Options of ESPnet's preprocessor."""
    options, layout = context.options, context.layout
    kind = espnet_token_type(context, token_type)
    return [
        *("--use_preprocessor", "true", "--token_type", kind),
        *("--bpemodel", str(layout.bpe_model) if kind == "bpe" else "none"),
        *("--token_list", str(layout.token_list(token_type))),
        *("--non_linguistic_symbols", options.nlsyms_txt),
        *("--cleaner", options.cleaner, "--g2p", options.g2p),
    ]


def text_of(context: Context, name: str) -> Path:
    """The training or validation text in the form that ESPnet is to see."""
    if context.layout.cuts_text:
        return context.layout.cut_text(name)
    return dumped_text(context.layout, name)


def speech_files(context: Context, name: str) -> List[Path]:
    """Files of a filtered set that change when its audio or its text changes."""
    folder = context.layout.dump / name
    speech, _ = speech_source(context, folder)
    return [speech, folder / STAMP_FILE, text_of(context, name)]


def data_arguments(context: Context) -> List[str]:
    """Training and validation data of asr_train."""
    layout = context.layout
    arguments = []
    for role, name in (("train", layout.train_set), ("valid", layout.valid_set)):
        option = f"--{role}_data_path_and_name_and_type"
        speech, kind = speech_source(context, layout.dump / name)
        arguments += [option, f"{speech},speech,{kind}"]
        arguments += [option, f"{text_of(context, name)},text,text"]
    return arguments


def decode_source(context: Context, name: str) -> Path:
    """The dumped directory that a decoded set is read from."""
    return dumped_dir(context.layout, name)


def keys_of(path: Path) -> List[str]:
    """First field of each line."""
    return [line.split(maxsplit=1)[0] for line in read_lines(path) if line.strip()]


def write_keys(path: Path, keys: Sequence[str]) -> Path:
    """Write a list of utterance ids as ESPnet reads it."""
    with atomic_write(path) as file:
        file.writelines(f"{key}\n" for key in keys)
    return path


def add_vocabulary_size(shape: Path, token_list: Path, target: Path) -> None:
    """text_shape with the vocabulary size appended, as batch_bins counts it."""
    size = len(read_lines(token_list))
    with atomic_write(target) as file:
        file.writelines(f"{line},{size}\n" for line in read_lines(shape))


def given_options(options: RecipeOptions) -> List[str]:
    """The options that differ from their defaults, as words of a command."""
    words: List[str] = []
    for name, field in FIELDS.items():
        value = getattr(options, name)
        if value != field.default and name not in ("stage", "stop_stage", "force"):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words += [f"--{name}", text]
    return words


def write_resume_script(context: Context, folder: Path, stage: int) -> None:
    """A run.sh in an experiment that runs or resumes this stage with its options."""
    words = ["--stage", str(stage), "--stop_stage", str(stage)]
    words += given_options(context.options)
    back = os.path.relpath(Path.cwd(), folder)
    script = (
        "#!/usr/bin/env bash\n"
        f"# Runs stage {stage} of this experiment; an interrupted run continues.\n"
        "set -euo pipefail\n"
        f'cd -- "$(dirname -- "${{BASH_SOURCE[0]}}")"/{shlex.quote(back)}\n'
        ". ./path.sh\n"
        f'exec "${{PYTHON}}" -m espnet_ext.recipe {shlex.join(words)} "$@"\n'
    )
    path = folder / "run.sh"
    with atomic_write(path) as file:
        file.write(script)
    path.chmod(0o755)


def frontend_arguments(context: Context) -> List[str]:
    """The sampling rate for the frontend, as asr.sh passes it.

    Raises:
        OptionError: The training configuration names another rate.
    """
    options = context.options
    config = settings_of(options.asr_config, options.asr_args)
    if "frontend" in config and config["frontend"] is None:
        return []
    named = config.get("frontend_conf.fs")
    if named is not None:
        same = sampling_rate(dataclasses.replace(options, fs=str(named)))
        if same != sampling_rate(options):
            raise OptionError(
                f"frontend_conf has fs: {named}, the audio is dumped at {options.fs}",
                where=options.asr_config,
                next_step=f"--fs {named}, or leave fs out of the configuration",
            )
    return ["--frontend_conf", f"fs={options.fs}"]
