"""One compared quantity, and how far ours is from the original's."""

from typing import NamedTuple

import numpy as np

VALUE_LIMIT = 1e-4
GRADIENT_LIMIT = 1e-3


class Comparison(NamedTuple):
    """One compared quantity: largest difference relative to the largest value."""

    name: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """False as well when the error is not a number."""
        return self.error <= self.limit


def error_inside(ours: np.ndarray, original: np.ndarray, inside: np.ndarray) -> float:
    """relative_error of the entries where ``inside`` (of the leading axes) is true."""
    ours, original = np.asarray(ours), np.asarray(original)
    if ours.shape != original.shape:
        return float("inf")
    return relative_error(ours[inside], original[inside])


def relative_error(ours: np.ndarray, original: np.ndarray) -> float:
    """max |ours - original| / max |original|; inf where shapes differ.

    A quantity that is zero everywhere is compared absolutely. An infinite entry (the
    loss of a sequence without a path) has to be infinite in both.
    """
    ours, original = np.asarray(ours), np.asarray(original)
    if ours.shape != original.shape:
        return float("inf")
    infinite = np.isinf(original)
    if not np.array_equal(ours[infinite], original[infinite]):
        return float("inf")
    ours, original = ours[~infinite], original[~infinite]
    if original.size == 0:
        return 0.0
    scale = float(np.abs(original).max())
    difference = float(np.abs(ours.astype(np.float64) - original).max())
    return difference / scale if scale > 0.0 else difference
