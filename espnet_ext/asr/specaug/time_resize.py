"""Random stretch of the time axis: one factor for a batch.

Source: reference/parts.md 2.5 (rndresize); the interpolation is that of TensorFlow's
first version of ``resize_bilinear``: frame t is read at t * old / new.
"""

# Dimensions: B batch, T frames, U frames afterwards, F features
import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch


@dataclass(frozen=True)
class ResizeOptions:
    """The factor is uniform between ``range[0]`` and the largest one.

    Attributes:
        range: Smallest and largest factor; above 1 there are more frames afterwards.
        long_frames: Above this length of the longest sequence ...
        long_maximum: ... the largest factor is this. None: no such limit.
    """

    range: Sequence[float] = (1.0, 1.0)
    long_frames: Optional[int] = None
    long_maximum: Optional[float] = None

    def __post_init__(self):
        low, high = self.range
        if not 0.0 < low <= high:
            raise ValueError(
                f"time_resize.range {[low, high]}: expected [smallest, largest] with "
                "0 < smallest <= largest"
            )
        if (self.long_frames is None) != (self.long_maximum is None):
            raise ValueError("time_resize: long_frames and long_maximum go together")
        if self.long_maximum is not None and self.long_maximum < low:
            raise ValueError(
                f"time_resize.long_maximum {self.long_maximum} is smaller than the "
                f"smallest factor {low}"
            )

    @property
    def is_neutral(self) -> bool:
        """Whether every factor is one."""
        return tuple(self.range) == (1.0, 1.0)

    def bounds(self, frames: int) -> Tuple[float, float]:
        """Smallest and largest factor of a batch whose longest sequence has so many."""
        low, high = self.range
        if self.long_frames is not None and frames > self.long_frames:
            high = self.long_maximum
        return low, high


def resize_linear(x: torch.Tensor, size: int, dim: int) -> torch.Tensor:
    """Linear interpolation of an axis at the places ``i * old / new``.

    Behind the last old place the last value is repeated.

    Args:
        x: Any shape.
        size: New length of the axis.
        dim: The axis.
    """
    old = x.size(dim)
    if size == old:
        return x
    place_U = torch.arange(size, dtype=torch.float32) * (old / size)
    floor_U = place_U.floor().long().clamp(max=old - 1)
    shape = [1] * x.dim()
    shape[dim] = size
    weight_U = (place_U - floor_U).reshape(shape).to(x)
    low = x.index_select(dim, floor_U.to(x.device))
    high = x.index_select(dim, (floor_U + 1).clamp(max=old - 1).to(x.device))
    return low + weight_U * (high - low)


def resize_time(
    x_BTF: torch.Tensor,
    lengths_B: torch.Tensor,
    options: ResizeOptions,
    generator: Optional[torch.Generator],
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Features [B, U, F] and lengths, U = ceil(T factor), with one factor for all."""
    frames = x_BTF.size(1)
    if frames == 0:
        return x_BTF, lengths_B
    low, high = options.bounds(frames)
    factor = low + (high - low) * float(torch.rand((), generator=generator))
    size = max(math.ceil(frames * factor), 1)
    scaled_B = torch.ceil(lengths_B.double() * factor).to(lengths_B.dtype)
    return resize_linear(x_BTF, size, 1), scaled_B
