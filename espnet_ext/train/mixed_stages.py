"""Means of models must not mix growing stages: layers that were not trained yet, and
entries that were not in use, would be averaged with trained ones.
"""

from pathlib import Path
from typing import List, Sequence, Set

import torch

STAGE = "encoder.active_layers"


def stages_of(folder: Path, epochs: Sequence[int]) -> Set[float]:
    """Numbers of active layers in the stored models of these sub-epochs."""
    found = set()
    for epoch in epochs:
        path = folder / f"{epoch}epoch.pth"
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if STAGE in state:
            found.add(float(state[STAGE]))
    return found


def averageable(folder: Path, order: Sequence[int], counts: Sequence[int]) -> List[int]:
    """Those of ``counts`` whose best models are all of one growing stage.

    Args:
        folder: With ``Nepoch.pth``.
        order: Sub-epochs, the best first.
        counts: Numbers of models that are wanted in a mean.
    """
    return [n for n in counts if len(stages_of(folder, order[:n])) <= 1]
