"""Soft alignments as matrices, for programs that want more than one path."""

# Dimensions: T frames, L labels
from typing import Dict

import numpy as np
import torch

from espnet_ext.alignment.aligner import Soft


def soft_matrix(soft: Soft) -> np.ndarray:
    """float32 [T, 1 + L]: probability of blank, and of each label, in each frame.

    Rows sum to 1 where labels take a frame.
    """
    blank_T1 = soft.blank.sum(1, keepdim=True)
    return torch.cat([blank_T1, soft.label[:, :-1]], dim=1).numpy()


class SoftMatrices:
    """Keeps the matrices of all utterances; handed to ``align_all`` as ``soft``."""

    def __init__(self) -> None:
        self.by_id: Dict[str, np.ndarray] = {}

    def __call__(self, key: str, soft: Soft) -> None:
        self.by_id[key] = soft_matrix(soft)
