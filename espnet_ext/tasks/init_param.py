"""``--init_param FILE:source:target``: weights that would not be loaded are refused.

ESPnet loads nothing, and says nothing, where no weight of the file belongs to the
source; what does not fit the target ends in a traceback.
"""

import traceback
from pathlib import Path
from typing import Iterable

import torch

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.names import nearest

FORM = "--init_param FILE, FILE:source:target or FILE:source:target:excluded"


def check_init_param(values: Iterable[str]) -> None:
    """The files exist and have weights of the parts that are asked for.

    Args:
        values: Of the option.

    Raises:
        MissingInputError: There is no such file.
        FormatError: It holds no weights.
        OptionError: None of its weights belongs to the source.
    """
    for value in values:
        path, *parts = value.split(":")
        if not Path(path).exists():
            raise MissingInputError("file not found", where=f"--init_param {path}")
        try:
            state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
            names = list(state.get("module", state))
        except Exception as error:  # whatever a file of another kind makes of it
            raise FormatError(
                f"cannot be read as weights ({error})",
                where=f"--init_param {path}",
                expected="weights that a training saved, for example 10epoch.pth",
            ) from None
        source = parts[0] if parts else ""
        if not any(name.startswith(f"{source}.") for name in names) and source:
            known = sorted({name.split(".")[0] for name in names})
            raise OptionError(
                f"no weight of the file belongs to {source!r}",
                where=f"--init_param {value}",
                expected=f"{FORM}; the file has {', '.join(known)}",
                next_step=f"did you mean {nearest(source, known) or known[0]!r}?",
            )


def refuse_if_loading_failed(error: Exception, values: Iterable[str]) -> None:
    """Raise OptionError if an error comes from ESPnet's loading of such weights."""
    frames = traceback.extract_tb(error.__traceback__)
    if any(frame.name == "load_pretrained_model" for frame in frames):
        raise OptionError(
            f"the weights do not fit the model: {error}",
            where=f"--init_param {' '.join(values)}",
            expected=FORM,
            next_step="give the target the configuration (encoder_conf, ..) of the "
            "model in the file, or leave out what differs: --ignore_init_mismatch true",
        ) from error
