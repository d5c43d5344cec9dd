"""Compares our growing stages with the original's parameter copies.

The old parameters of such a file hold 1, 2, 3, .., the fresh new ones -1, -2, ..; so a
positive entry of the new parameters tells which old element was copied there. Ours is
equal if the part of each new parameter that the old stage uses holds exactly the old
parameter, and the rest is fresh.

Source: reference/parity/README.md "grow_copy".
"""

import re
from typing import Dict, Iterator

import numpy as np
import torch

from espnet_ext.interop.comparison import Comparison
from espnet_ext.interop.experiment_names import parse_experiment
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.reference_models import ReferenceModel, assemble
from espnet_ext.interop.returnn import NAME_SUFFIX, Arrays, apply_rules


def growing_steps(arrays: Arrays) -> Dict[str, Dict[str, Arrays]]:
    """By prefix of the step ("" or "0to5:"), parameters ``old`` and ``new``."""
    steps: Dict[str, Dict[str, Arrays]] = {}
    for name in arrays:
        found = re.fullmatch(r"(.*?)(old|new):(.+)", name)
        if found:
            prefix, when, parameter = found.groups()
            step = steps.setdefault(prefix, {"old": {}, "new": {}})
            step[when][parameter.removesuffix(NAME_SUFFIX)] = arrays[name]
    return steps


def _input_size(parameters: Arrays) -> int:
    """Any size that fits the first layer; only matters where there are convolutions."""
    for name, array in parameters.items():
        if re.fullmatch(r"(encoder/input_layer|frontend)/layers/0/fw/param_W", name):
            return array.shape[0]
    return 40


def _used_by(old: ReferenceModel, new: ReferenceModel) -> Dict[str, torch.Tensor]:
    """Masks over the new parameters of what the old stage uses."""
    encoder = new.model.encoder
    stage = old.model.encoder.stage
    full, encoder._stage = encoder._stage, stage  # sizes of the old stage alone
    masks = new.model.used_entries()
    encoder._stage = full
    return masks


def compare_growth(file: ParityFile) -> Iterator[Comparison]:
    """Number of entries of each parameter that are not where the original has them."""
    experiment = parse_experiment(file.experiment)
    for prefix, step in growing_steps(file.arrays).items():
        old, new = (
            assemble(experiment, step[when], _input_size(step[when]), file.bos)
            for when in ("old", "new")
        )
        copied = apply_rules(step["old"], old.rules)
        grown = apply_rules(step["new"], new.rules)
        masks = _used_by(old, new)
        for name in sorted(grown):
            yield Comparison(
                f"{prefix}{name}: entries at another place",
                _misplaced(grown[name], copied.get(name), masks.get(name)),
                0.0,
            )


def _misplaced(grown: np.ndarray, copied, mask) -> float:
    if copied is None:
        return float((grown > 0).sum())
    if mask is None:
        used = np.ones(grown.shape, dtype=bool)
    else:
        used = mask.numpy()
    if used.sum() != copied.size:
        return float("inf")
    wrong = (grown[used] != copied.flatten()).sum() + (grown[~used] > 0).sum()
    return float(wrong)
