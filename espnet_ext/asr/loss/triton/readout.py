"""The readout of packed nodes, f(am[b, t] + lm[b, s]), and its emission logit.

The readout of a tile of nodes is written once, to a buffer with J columns, because the
label label softmax reads it K / tile times; the sum before maxout is never stored.
Elementwise dropout before the softmax is applied on the way; the emission logit is
taken before it.
"""

# Dimensions: N packed nodes, R readout before the activation, J after it
from typing import Optional

import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.triton.blocks import TL_TYPES, padded
from espnet_ext.asr.loss.triton.dropout import keep_tile, threshold_of
from espnet_ext.asr.loss.triton.joint import Joint

BLOCK_N, BLOCK_J = 16, 64


@triton.jit
def tanh(x):
    """Hyperbolic tangent; Triton's own is a CUDA library call, see its libdevice."""
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def load_sum(am_ptr, lm_ptr, am_row, lm_row, column, inside, R, SUM: tl.constexpr):
    """am + lm [N, J] of one column of each row, in the format of sums."""
    am = tl.load(am_ptr + am_row * R + column, mask=inside, other=0.0)
    lm = tl.load(lm_ptr + lm_row * R + column, mask=inside, other=0.0)
    return am.to(SUM) + lm.to(SUM)


@triton.jit
def activate(
    am_ptr,
    lm_ptr,
    am_row,
    lm_row,
    j,
    inside,
    R,
    ACTIVATION: tl.constexpr,
    SUM: tl.constexpr,
):
    """Readout [N, J] and its derivatives by the even and the odd column of each pair.

    Without maxout there are no pairs: the first derivative is that of the one column.
    Of two equal columns the even one wins, as in ``fused_readout.py``.
    """
    if ACTIVATION == "maxout":
        even = load_sum(am_ptr, lm_ptr, am_row, lm_row, 2 * j, inside, R, SUM)
        odd = load_sum(am_ptr, lm_ptr, am_row, lm_row, 2 * j + 1, inside, R, SUM)
        readout = tl.maximum(even, odd)
        first = tl.where(even >= odd, 1.0, 0.0).to(SUM)
        second = 1.0 - first
    else:
        x = load_sum(am_ptr, lm_ptr, am_row, lm_row, j, inside, R, SUM)
        if ACTIVATION == "tanh":
            readout = tanh(x)
            first = 1.0 - readout * readout
        elif ACTIVATION == "relu":
            readout = tl.maximum(x, 0.0)
            first = tl.where(x > 0.0, 1.0, 0.0).to(SUM)
        else:
            tl.static_assert(ACTIVATION == "none")
            readout = x
            first = x * 0.0 + 1.0
        second = first * 0.0
    return readout, first, second


@triton.jit(do_not_specialize=["seed"])
def _readout_kernel(
    am_ptr,
    lm_ptr,
    am_row_ptr,
    lm_row_ptr,
    node_ptr,
    emission_weight_ptr,
    readout_ptr,
    emission_ptr,
    count,
    seed,
    threshold,
    R: tl.constexpr,
    J: tl.constexpr,
    COLUMNS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROPOUT: tl.constexpr,
    EMISSION: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    here = n < count
    am_row = tl.load(am_row_ptr + n, mask=here, other=0).to(tl.int64)[:, None]
    lm_row = tl.load(lm_row_ptr + n, mask=here, other=0).to(tl.int64)[:, None]
    node = tl.load(node_ptr + n, mask=here, other=0)
    at = n.to(tl.int64)[:, None] * COLUMNS
    emission = tl.zeros((BLOCK_N,), dtype=SUM)
    for start in range(0, COLUMNS, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        inside = here[:, None] & (j < J)[None, :]
        readout, first, second = activate(
            am_ptr, lm_ptr, am_row, lm_row, j[None, :], inside, R, ACTIVATION, SUM
        )
        readout = tl.where(inside, readout, 0.0)
        if EMISSION:
            weight = tl.load(emission_weight_ptr + j, mask=j < J, other=0.0).to(SUM)
            emission += tl.sum(readout * weight[None, :], axis=1)
        if DROPOUT:
            readout = tl.where(keep_tile(seed, node, j, threshold), readout, 0.0)
        stored = readout.to(readout_ptr.dtype.element_ty)
        tl.store(readout_ptr + at + j[None, :], stored, mask=here[:, None])
    if EMISSION:
        tl.store(emission_ptr + n, emission, mask=here)


def readout_of(
    joint: Joint, nodes: Nodes, out_NJ: torch.Tensor
) -> Optional[torch.Tensor]:
    """Fill the buffer with the readout; return emission logits without bias.

    Args:
        joint: Projections, weights and options.
        nodes: N packed nodes.
        out_NJ: Buffer of at least N rows of ``padded(J)`` columns; those beyond J
            become 0. Dropped elements are 0, the others not yet scaled.

    Returns:
        w . readout, without dropout, [N]; None where the joint has no emission logit.
    """
    count = len(nodes)
    emits = joint.emission_weight_J is not None
    emission_N = out_NJ.new_empty(count if emits else 0, dtype=joint.sum_dtype)
    if count:
        _readout_kernel[(triton.cdiv(count, BLOCK_N),)](
            joint.am_AR,
            joint.lm_MR,
            nodes.frame_N,
            nodes.position_N,
            nodes.node_N,
            joint.emission_weight_J if emits else emission_N,
            out_NJ,
            emission_N,
            count,
            joint.dropout_seed,
            threshold_of(joint.dropout_rate),
            R=joint.am_AR.size(1),
            J=joint.columns,
            COLUMNS=padded(joint.columns),
            ACTIVATION=joint.activation,
            DROPOUT=joint.dropout_rate > 0,
            EMISSION=emits,
            SUM=TL_TYPES[joint.sum_dtype],
            BLOCK_N=BLOCK_N,
            BLOCK_J=BLOCK_J,
        )
    return emission_N if emits else None
