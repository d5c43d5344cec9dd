"""Pooling with TensorFlow's SAME padding: ceil(T / stride) frames, padding centred.

PyTorch's ``ceil_mode`` gives as many frames but pads on the right only, which shifts
every pooled frame of a model trained with SAME padding. With the left padding on both
sides it gives the same windows: what is missing on the right is at most one more.
"""

# Dimensions: B batch, T frames, F feature, C channels
from typing import Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.evaluation import is_evaluated_on_cpu


def same_padding(length: int, kernel: int, stride: int) -> Tuple[int, int]:
    """Left and right padding so that ceil(length / stride) windows fit.

    Ref: TensorFlow ``tf.nn.max_pool`` documentation, padding="SAME".
    """
    windows = -(-length // stride)
    total = max((windows - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def max_pool_time(x_BTF: torch.Tensor, size: int) -> torch.Tensor:
    """Maximum over ``size`` frames, SAME padding with -inf: [B, ceil(T/size), F].

    The offset of the windows depends on the padded length T of the batch, as in the
    original: padded frames are not masked.
    """
    if size == 1 or x_BTF.size(1) == 0:
        return x_BTF
    left, _ = same_padding(x_BTF.size(1), size, size)
    if is_evaluated_on_cpu(x_BTF):
        return _maximum_of_frames(x_BTF.transpose(0, 1), size, left).transpose(0, 1)
    x_BFT = x_BTF.transpose(1, 2)
    return F.max_pool1d(x_BFT, size, padding=left, ceil_mode=True).transpose(1, 2)


def _maximum_of_frames(x_TBF: torch.Tensor, size: int, left: int) -> torch.Tensor:
    """The same by whole frames, faster where these are the outer dimension in memory.

    Frame ``left`` of each window is there, others may not be.
    """
    pooled_TBF = x_TBF[::size].clone(memory_format=torch.contiguous_format)
    for offset in range(1, size):
        frames_TBF = x_TBF[offset::size]
        # before frame ``left`` of the next window, or after that of the same one
        first = 1 if offset >= size - left else 0
        part_TBF = pooled_TBF[first : first + len(frames_TBF)]
        torch.maximum(part_TBF, frames_TBF[: len(part_TBF)], out=part_TBF)
    return pooled_TBF


def max_pool_2d(x_BCTF: torch.Tensor, time: int, feature: int) -> torch.Tensor:
    """Maximum over ``time`` frames and ``feature`` features, SAME padding with -inf.

    Returns:
        [B, C, ceil(T / time), ceil(F / feature)].
    """
    if time == feature == 1 or x_BCTF.size(2) == 0:
        return x_BCTF
    top, _ = same_padding(x_BCTF.size(2), time, time)
    left, _ = same_padding(x_BCTF.size(3), feature, feature)
    size = (time, feature)
    return F.max_pool2d(x_BCTF, size, padding=(top, left), ceil_mode=True)


def pooled_lengths(lengths_B: torch.Tensor, size: int) -> torch.Tensor:
    """ceil(lengths / size), the number of frames after pooling."""
    return torch.div(lengths_B + size - 1, size, rounding_mode="floor")
