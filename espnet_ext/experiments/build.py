"""Builds the model of an experiment; on the meta device sizes without memory."""

import copy
import dataclasses
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.experiments import parts
from espnet_ext.experiments.settings import leaves, nested

LABELS = 1030  # of the original, sentence end included
MODEL_PARTS = ("encoder", "decoder", "model")


@dataclasses.dataclass(frozen=True)
class Size:
    """Parameters of a built model.

    Attributes:
        total: Of the whole model.
        by_part: Of encoder, decoder and the rest.
        left_out: Options that the code does not have yet.
    """

    total: int
    by_part: Mapping[str, int]
    left_out: Tuple[str, ...]


@contextmanager
def unchecked_imports() -> Iterator[None]:
    """Import ESPnet without typeguard's checks of every call.

    typeguard compiles each decorated function anew, half of the four seconds that the
    import of ESPnet takes. Modules that are imported already keep their checks.
    """
    import typeguard

    checked = typeguard.typechecked

    def unchecked(target=None, **options):
        return target if target is not None else lambda function: function

    typeguard.typechecked = unchecked
    try:
        yield
    finally:
        typeguard.typechecked = checked


def missing_classes(config: Mapping[str, Any]) -> List[str]:
    """Parts without which there is no model to build."""
    missing = []
    for key in MODEL_PARTS:
        name = config.get(key)
        if key == "decoder" and name is None:
            continue
        if not parts.class_exists(key, name):
            missing.append(f"{key}: {name}")
    return missing


def buildable(config: Mapping[str, Any]) -> Tuple[Dict[str, Any], List[str]]:
    """The configuration without options that the code lacks, and their names."""
    kept: Dict[str, Any] = {}
    left_out = []
    for key in MODEL_PARTS:
        name = kept[key] = config.get(key)
        options = config.get(f"{key}_conf") or {}
        if (key, name) not in parts.registered():
            kept[f"{key}_conf"] = copy.deepcopy(options)
            continue
        flat = {}
        for option, value in leaves(options):
            if parts.option_exists(key, name, option):
                flat[option] = value
            else:
                left_out.append(f"{key}_conf.{option}")
        kept[f"{key}_conf"] = nested(flat)
    return kept, left_out


def input_size(config: Mapping[str, Any]) -> int:
    """Number of features of a frame."""
    frontend = config.get("frontend_conf") or {}
    return frontend.get("channels") or frontend.get("n_mels") or 80


def build_model(config: Mapping[str, Any], device: str = "cpu"):
    """The model behind the features, and the names of options that were left out.

    Imports torch and ESPnet, which have to be imported outside of the device.

    Args:
        config: Of a training.
        device: Where its tensors are made; ``meta``: without memory.

    Raises:
        OptionError: A class or an option does not exist or has a wrong value.
    """
    import torch

    with unchecked_imports():
        from espnet_ext.tasks.asr import TransducerTask

    kept, left_out = buildable(config)
    args = TransducerTask.get_parser().parse_args(["--output_dir", "unused"])
    tokens = ["<blank>", *(f"label{i}" for i in range(1, LABELS)), "<sos/eos>"]
    settings = {
        **kept,
        **{"frontend": None, "specaug": None, "normalize": None},
        **{"input_size": input_size(config), "token_list": tokens, "init": None},
    }
    for key, value in settings.items():
        setattr(args, key, value)
    try:
        with torch.device(device):
            return TransducerTask.build_model(args), left_out
    except (TypeError, KeyError, AssertionError, RuntimeError) as error:
        raise OptionError(
            f"the model cannot be built: {type(error).__name__}: {error}"
        ) from error


def model_size(config: Mapping[str, Any]) -> Size:
    """Build the model without memory and count its parameters.

    Raises:
        OptionError: See ``build_model``.
    """
    model, left_out = build_model(config, "meta")
    by_part: Dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        part = part if part in ("encoder", "decoder") else "other"
        by_part[part] = by_part.get(part, 0) + parameter.numel()
    return Size(sum(by_part.values()), by_part, tuple(left_out))
