"""Cuts sequences into windows of equal size, and puts results of the windows together.

The original cuts with SAME padding: window c covers the frames from
c stride - (size - 1) // 2 on, and there are ceil(length / stride) windows, so that
with stride = size the first window is half empty, and up to half a window at the end
of a sequence is in no window at all (``tail="zero"``; its outputs are zero vectors).

Source: reference/models.md d.6; reference/parts.md 5.
"""

# Dimensions: B batch, T frames, D feature, C windows, W window size
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F

TAILS = ("zero", "covered")


class Chunking(NamedTuple):
    """How sequences are cut.

    Attributes:
        size: Frames of a window.
        stride: Frames from one window to the next; where windows overlap, their
            outputs are averaged.
        tail: ``zero``: ceil(length / stride) windows (original); ``covered``: as many
            as it takes to cover all frames.
    """

    size: int
    stride: int
    tail: str = "zero"

    @property
    def left(self) -> int:
        """Empty frames in front of the first window."""
        return (self.size - 1) // 2

    def counts(self, lengths: torch.Tensor) -> torch.Tensor:
        """Number of windows of sequences of these lengths."""
        needed = lengths
        if self.tail == "covered":
            needed = lengths - (self.size - self.left) + self.stride
        counts = torch.div(needed + self.stride - 1, self.stride, rounding_mode="floor")
        return counts.clamp(min=1)

    def cut(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Windows [B, C, W, D], zeros where they reach over the ends."""
        count = int(self.counts(torch.tensor(x_BTD.size(1))))
        last = (count - 1) * self.stride + self.size
        right = max(last - self.left - x_BTD.size(1), 0)
        padded = F.pad(x_BTD, (0, 0, self.left, right))
        return padded[:, :last].unfold(1, self.size, self.stride).transpose(2, 3)

    def join(
        self, y_BCWD: torch.Tensor, frames: int, lengths_B: torch.Tensor
    ) -> torch.Tensor:
        """Outputs of the windows put back to [B, T, D].

        Only the windows of a sequence's own length count: frames after the last one
        are zero. The mean is taken where windows overlap.
        """
        count = y_BCWD.size(1)
        own_BC = torch.arange(count, device=y_BCWD.device) < self.counts(
            lengths_B.to(y_BCWD.device)
        ).unsqueeze(1)
        y_BCWD = y_BCWD * own_BC[:, :, None, None].to(y_BCWD.dtype)
        if self.stride == self.size:
            joined = y_BCWD.flatten(1, 2)
        else:
            joined = self._overlap_mean(y_BCWD, own_BC)
        missing = max(self.left + frames - joined.size(1), 0)
        return F.pad(joined, (0, 0, 0, missing))[:, self.left : self.left + frames]

    def _overlap_mean(self, y_BCWD, own_BC) -> torch.Tensor:
        batch, count, size, width = y_BCWD.shape
        total = (count - 1) * self.stride + size
        starts = torch.arange(count, device=y_BCWD.device) * self.stride
        place = (starts[:, None] + torch.arange(size, device=y_BCWD.device)).flatten()
        joined = y_BCWD.new_zeros(batch, total, width)
        joined = joined.index_add(1, place, y_BCWD.flatten(1, 2))
        weights = own_BC.to(y_BCWD.dtype).repeat_interleave(size, dim=1)
        covered = y_BCWD.new_zeros(batch, total).index_add(1, place, weights)
        return joined / covered.clamp(min=1.0).unsqueeze(2)


def chunking_of(
    size: Optional[int], stride: Optional[int], tail: str
) -> Optional[Chunking]:
    """Chunking from the options of an encoder; None without a size.

    Raises:
        ValueError: Windows that are empty or leave gaps, or an unknown tail.
    """
    if tail not in TAILS:
        raise ValueError(f"chunk_tail {tail!r}: expected one of {TAILS}")
    if size is None:
        return None
    stride = size if stride is None else stride
    if not 1 <= stride <= size:
        raise ValueError(
            f"chunk_size {size} and chunk_stride {stride}: expected "
            "1 <= chunk_stride <= chunk_size"
        )
    return Chunking(size, stride, tail)
