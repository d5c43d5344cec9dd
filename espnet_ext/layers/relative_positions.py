"""Encodings of relative positions, and their pairing with queries and keys.

Offsets are key minus query, ascending from -(T - 1) to T - 1. ESPnet has query minus
key; only the sign of the sine half differs.

Ref: Dai et al. 2019 (Transformer-XL) appendix B; Shaw et al. 2018.
Source: reference/models.md d.3, d.4.
"""

# Dimensions: T frames, D model, H heads, K size of a head
import math

import torch
import torch.nn.functional as F


def sinusoid_table(
    frames: int, size: int, device=None, dtype=torch.float32
) -> torch.Tensor:
    """Encodings [2T - 1, D]: sines in the first half, cosines in the second.

    Frequencies are 10000 ** (-2 i / D), i = 0 .. D / 2 - 1.
    """
    offsets = torch.arange(-(frames - 1), frames, device=device, dtype=torch.float32)
    steps = torch.arange(0, size, 2, device=device, dtype=torch.float32)
    angles = offsets.unsqueeze(1) * torch.exp(steps * (-math.log(1e4) / size))
    # an odd size has one cosine less than sines
    table = torch.cat([angles.sin(), angles[:, : size // 2].cos()], dim=1)
    return table.to(dtype)


def pair_by_offset(scores: torch.Tensor) -> torch.Tensor:
    """From scores by query and offset [..., T, 2T - 1] to query and key [..., T, T].

    result[t, s] = scores[t, s - t + T - 1], by the shift of Transformer-XL: in a row of
    one more element, each next query's window begins one element earlier.
    """
    frames = scores.size(-2)
    wide = F.pad(scores, (1, 0))
    shifted = wide.flatten(-2).unflatten(-1, (2 * frames, frames))
    return shifted[..., 1:, :].reshape(scores.shape)[..., :frames]


def clipped_offsets(frames: int, clip: int, device=None) -> torch.Tensor:
    """Row of a table of 2 clip + 1 learned encodings for each query and key, [T, T]."""
    positions = torch.arange(frames, device=device)
    return (positions - positions.unsqueeze(1)).clamp(-clip, clip) + clip


def short_table(table_RK: torch.Tensor, frames: int) -> torch.Tensor:
    """Table of learned encodings as the original reads it for short sequences.

    Where the longest sequence has at most clip + 1 frames, it cuts the encodings it
    needs out of the table, and takes the size of a head for the number of rows: rows
    from that number on are zero. Found in ``parity/conf_relold_dh4_e15.npz``; at full
    size a head has more entries than there are rows, and nothing is lost.
    """
    rows, head = table_RK.shape
    if 2 * frames > rows + 1 or head >= rows:
        return table_RK
    positions_R = torch.arange(rows, device=table_RK.device).unsqueeze(1)
    # the cut begins at row clip + 1 - frames
    cut = (rows + 1) // 2 - frames
    return table_RK.masked_fill(positions_R - cut >= head, 0.0)
