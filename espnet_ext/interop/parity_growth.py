"""Compares our growing stages with the original's parameter copies.

The old parameters of such a file hold 1, 2, 3, .., the fresh new ones -1, -2, ..; so a
positive entry of the new parameters tells which old element was copied there. Ours is
equal if the part of each new parameter that the old stage uses holds exactly the old
parameter, and the rest is fresh.

Source: reference/parity/README.md "grow_copy".
"""

import re
from typing import Callable, Dict, Iterator

import numpy as np
import torch

from espnet_ext.interop.comparison import Comparison
from espnet_ext.interop.features import features_of
from espnet_ext.interop.original_experiment import original_experiment
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.reference_models import ReferenceModel, assemble
from espnet_ext.interop.returnn import NAME_SUFFIX, Arrays, apply_rules

READOUT = [f"decoder.joint_network.readout_{part}.weight" for part in ("am", "lm")]


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


def _used_by(old: ReferenceModel, new: ReferenceModel) -> Dict[str, torch.Tensor]:
    """Masks over the new parameters of what the old stage uses."""
    encoder = new.model.encoder
    # sizes and number of layers of the old stage alone
    encoder._stage = old.model.encoder.stage
    encoder.active_layers.fill_(float(encoder._stage.layers))
    masks = dict(new.model.used_entries())
    for name, buffer in new.model.named_parameters():
        masks.setdefault(name, torch.ones(buffer.shape, dtype=torch.bool))
    return masks


def _one_readout(arrays: Dict, joined: Callable) -> Dict:
    """Both readout matrices as the single one that ``orig`` has and copies."""
    am, lm = (arrays.pop(name, None) for name in READOUT)
    return arrays if am is None else {**arrays, "readout": joined([am, lm], 1)}


def compare_growth(file: ParityFile) -> Iterator[Comparison]:
    """Number of entries of each parameter that are not where the original has them."""
    experiment = original_experiment(file.experiment)
    for prefix, step in growing_steps(file.arrays).items():
        old, new = (
            assemble(experiment, step[when], features_of(step[when]), file.bos)
            for when in ("old", "new")
        )
        copied = apply_rules(step["old"], old.rules)
        grown = apply_rules(step["new"], new.rules)
        masks = _used_by(old, new)
        if old.experiment.family == "orig":
            copied, grown = (_one_readout(a, np.concatenate) for a in (copied, grown))
            masks = _one_readout(masks, torch.cat)
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
    if used.shape != grown.shape or used.sum() != copied.size:
        return float("inf")
    wrong = (grown[used] != copied.flatten()).sum() + (grown[~used] > 0).sum()
    return float(wrong)
