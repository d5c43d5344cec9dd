"""Gradient at the label logits of packed nodes, one tile of nodes and labels at a time.

    d/dz_k = mass exp(z_k - log_sum) - uniform - peak [k = next]
             - peak_repeat [k = current] - peak_blank [k = blank]

with the logits z computed once more. The two products that follow, with the weight and
with the readout, are plain matrix products and are left to the library.
"""

# Dimensions: N packed nodes, K softmax units, J readout, H units of a tile
from typing import NamedTuple, Optional

import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.triton.blocks import TL_TYPES, dot_precision
from espnet_ext.asr.loss.triton.joint import Joint
from espnet_ext.asr.loss.triton.label_scores import logits_tile


class LogitCoefficients(NamedTuple):
    """The numbers of the formula above for each node, in the format of sums."""

    log_sum_N: torch.Tensor
    mass_N: torch.Tensor
    peak_N: torch.Tensor
    peak_repeat_N: Optional[torch.Tensor] = None
    uniform_N: Optional[torch.Tensor] = None
    peak_blank_N: Optional[torch.Tensor] = None

    def at(self, index) -> "LogitCoefficients":
        """The same of some of the nodes: a slice, or an index tensor."""
        return LogitCoefficients(
            *(part if part is None else part[index] for part in self)
        )


@triton.jit
def _gradient_kernel(
    readout_ptr,
    weight_ptr,
    bias_ptr,
    next_ptr,
    current_ptr,
    log_sum_ptr,
    mass_ptr,
    peak_ptr,
    peak_repeat_ptr,
    uniform_ptr,
    peak_blank_ptr,
    gradient_ptr,
    bias_gradient_ptr,
    count,
    first_label,
    K,
    H,
    blank_unit,
    COLUMNS: tl.constexpr,
    REPEATS: tl.constexpr,
    UNIFORM: tl.constexpr,
    BLANK: tl.constexpr,
    PRECISION: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    tile = tl.program_id(0)
    n = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    here = n < count
    h = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    k = first_label + h
    logits = logits_tile(
        readout_ptr,
        weight_ptr,
        bias_ptr,
        n,
        k,
        count,
        K,
        COLUMNS,
        PRECISION,
        SUM,
        BLOCK_N,
        BLOCK_K,
        BLOCK_J,
    )
    log_sum = tl.load(log_sum_ptr + n, mask=here, other=float("inf"))
    mass = tl.load(mass_ptr + n, mask=here, other=0.0)
    gradient = mass[:, None] * tl.exp(logits - log_sum[:, None])
    if UNIFORM:
        gradient -= tl.load(uniform_ptr + n, mask=here, other=0.0)[:, None]
    peak = tl.load(peak_ptr + n, mask=here, other=0.0)
    label = tl.load(next_ptr + n, mask=here, other=-1)
    gradient -= tl.where(k[None, :] == label[:, None], peak[:, None], 0.0)
    if REPEATS:
        peak = tl.load(peak_repeat_ptr + n, mask=here, other=0.0)
        label = tl.load(current_ptr + n, mask=here, other=-1)
        gradient -= tl.where(k[None, :] == label[:, None], peak[:, None], 0.0)
    if BLANK:
        peak = tl.load(peak_blank_ptr + n, mask=here, other=0.0)
        gradient -= tl.where((k == blank_unit)[None, :], peak[:, None], 0.0)
    gradient = tl.where(here[:, None] & (k < K)[None, :], gradient, 0.0)
    at = gradient_ptr + n.to(tl.int64)[:, None] * H + h[None, :]
    stored = gradient.to(gradient_ptr.dtype.element_ty)
    tl.store(at, stored, mask=here[:, None] & (h < H)[None, :])
    # sums of tiles, added up in a fixed order by the caller
    at = bias_gradient_ptr + tile.to(tl.int64) * H + h
    tl.store(at, tl.sum(gradient, axis=0), mask=h < H)


def label_gradient(
    joint: Joint,
    nodes: Nodes,
    readout_NJ: torch.Tensor,
    coefficients: LogitCoefficients,
    first_label: int,
    out_NH: torch.Tensor,
) -> torch.Tensor:
    """Gradient at the logits of H labels from ``first_label`` on.

    Args:
        joint: Output layers and options.
        nodes: N > 0 nodes.
        readout_NJ: Their readout, of ``readout_of``.
        coefficients: Of the same nodes.
        first_label: Unit of the first column.
        out_NH: Filled; columns beyond K become 0.

    Returns:
        Its sum over the nodes, [H], before it was rounded to the format of ``out_NH``.
    """
    count, width = len(nodes), out_NH.size(1)
    blocks = joint.blocks
    tiles = triton.cdiv(count, blocks.nodes)
    sums = out_NH.new_empty(tiles, width, dtype=joint.sum_dtype)
    _, _, peak_N, peak_repeat_N, uniform_N, peak_blank_N = coefficients
    _gradient_kernel[(tiles, triton.cdiv(width, blocks.labels))](
        readout_NJ,
        joint.weight_KJ,
        joint.bias_K,
        nodes.next_N,
        nodes.next_N if peak_repeat_N is None else nodes.current_N,
        # one that does not exist is not read
        *(peak_N if x is None else x for x in coefficients),
        out_NH,
        sums,
        count,
        first_label,
        joint.units,
        width,
        joint.blank_unit or 0,
        COLUMNS=readout_NJ.size(1),
        REPEATS=peak_repeat_N is not None,
        UNIFORM=uniform_N is not None,
        BLANK=peak_blank_N is not None,
        PRECISION=dot_precision(),
        SUM=TL_TYPES[joint.sum_dtype],
        BLOCK_N=blocks.nodes,
        BLOCK_K=blocks.labels,
        BLOCK_J=blocks.inner,
        num_warps=blocks.num_warps,
        num_stages=blocks.num_stages,
    )
    return sums.sum(0)
