"""What a batch of an array file has to hold before anything is computed on it.

Files are made elsewhere, by other programs: a wrong shape or length must be named, not
show up as an error deep inside a model.
"""

# Dimensions: B batch, T input frames, F feature, L labels
from typing import Tuple

import numpy as np
import torch

from espnet_ext.errors import FormatError
from espnet_ext.interop.returnn import Arrays


def require(right: bool, arrays: Arrays, name: str, expected: str) -> None:
    """Raise FormatError with the array's kind and shape unless ``right``."""
    if right:
        return
    array = arrays[name]
    raise FormatError(
        f"array {name} of {array.dtype} has shape {list(array.shape)}"
        + (f" and values {array.min()} to {array.max()}" if array.size else ""),
        expected=expected,
    )


def _lengths(arrays: Arrays, name: str, batch: int, largest: int) -> torch.Tensor:
    array = arrays[name]
    right = array.shape == (batch,) and array.dtype.kind in "iu"
    if right and batch:
        right = 0 <= array.min() and array.max() <= largest
    require(right, arrays, name, f"{batch} whole numbers from 0 to {largest}")
    return torch.from_numpy(array.astype(np.int64))


def features_at(arrays: Arrays, prefix: str) -> Tuple[torch.Tensor, torch.Tensor]:
    """Features [B, T, F] as float32 and lengths [B].

    Args:
        arrays: Content of the file.
        prefix: Of the names ``data`` and ``data_len``: ``in:``, ``batch0:``, ..

    Raises:
        FormatError: One is missing, or they do not fit each other.
    """
    name = f"{prefix}data"
    data = arrays[name]
    right = data.ndim == 3 and data.size > 0 and data.dtype.kind == "f"
    require(right, arrays, name, "floats [batch, frames, features]")
    lengths = _lengths(arrays, f"{name}_len", data.shape[0], data.shape[1])
    return torch.from_numpy(data.astype(np.float32)), lengths


def labels_at(
    arrays: Arrays, prefix: str, batch: int, labels: int
) -> Tuple[np.ndarray, torch.Tensor]:
    """Original labels [B, L], those after the end being any, and their number [B].

    Args:
        arrays: Content of the file.
        prefix: Of the names ``targets`` and ``targets_len``.
        batch: B.
        labels: How many labels there are.

    Raises:
        FormatError: One is missing, or they do not fit each other.
    """
    name = f"{prefix}targets"
    targets = arrays[name]
    right = targets.ndim == 2 and len(targets) == batch and targets.dtype.kind in "iu"
    require(right, arrays, name, f"labels [{batch}, longest], whole numbers")
    lengths = _lengths(arrays, f"{name}_len", batch, targets.shape[1])
    inside = np.arange(targets.shape[1]) < lengths.numpy()[:, None]
    valid = targets[inside]
    right = valid.size == 0 or (valid.min() >= 0 and valid.max() < labels)
    require(right, arrays, name, f"labels from 0 to {labels - 1}")
    return np.where(inside, targets, 0).astype(np.int64), lengths
