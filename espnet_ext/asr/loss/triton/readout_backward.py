"""From the gradient at the readout of packed nodes to that at am and at lm.

A program owns one row of am (or of lm) and a block of columns, and adds up what the
nodes of that row send back. No atomic operations: the same input gives the same bits.
"""

# Dimensions: N packed nodes, R readout before the activation, J after it,
#             A rows of am (B T), M rows of lm (B S), P rows that are added up
from typing import NamedTuple, Optional

import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.triton.blocks import TL_TYPES
from espnet_ext.asr.loss.triton.dropout import keep_tile, threshold_of
from espnet_ext.asr.loss.triton.joint import Joint
from espnet_ext.asr.loss.triton.readout import activate

BLOCK_N, BLOCK_J = 16, 64


class Rows(NamedTuple):
    """The nodes of each of P neighbouring rows of am or lm.

    Attributes:
        first: Number of the first row.
        order_N: Node indices, sorted by row, int32.
        start_P: Where the nodes of a row start in ``order_N``, and the end, [P + 1].
    """

    first: int
    order_N: torch.Tensor
    start_P: torch.Tensor


def rows_of(row_N: torch.Tensor, first: int, end: int) -> Rows:
    """Nodes grouped by their row, all of which are in ``first`` .. ``end - 1``."""
    sorted_N, order_N = torch.sort(row_N, stable=True)
    bounds = torch.arange(first, end + 1, dtype=row_N.dtype, device=row_N.device)
    start_P = torch.searchsorted(sorted_N, bounds)
    return Rows(first, order_N.to(torch.int32), start_P.to(torch.int32))


@triton.jit(do_not_specialize=["seed", "first_row"])
def _backward_kernel(
    am_ptr,
    lm_ptr,
    am_row_ptr,
    lm_row_ptr,
    node_ptr,
    order_ptr,
    start_ptr,
    emission_weight_ptr,
    readout_gradient_ptr,
    emission_gradient_ptr,
    own_gradient_ptr,
    weight_gradient_ptr,
    first_row,
    seed,
    threshold,
    R: tl.constexpr,
    J: tl.constexpr,
    COLUMNS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROPOUT: tl.constexpr,
    EMISSION: tl.constexpr,
    WEIGHT: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    own = tl.program_id(0)
    j = tl.program_id(1) * BLOCK_J + tl.arange(0, BLOCK_J)
    exists = j < J
    if EMISSION:
        weight = tl.load(emission_weight_ptr + j, mask=exists, other=0.0).to(SUM)
    first_sum = tl.zeros((BLOCK_J,), dtype=SUM)
    second_sum = tl.zeros((BLOCK_J,), dtype=SUM)
    weight_sum = tl.zeros((BLOCK_J,), dtype=SUM)
    place = tl.load(start_ptr + own)
    end = tl.load(start_ptr + own + 1)
    while place < end:
        places = place + tl.arange(0, BLOCK_N)
        here = places < end
        n = tl.load(order_ptr + places, mask=here, other=0)
        am_row = tl.load(am_row_ptr + n, mask=here, other=0).to(tl.int64)[:, None]
        lm_row = tl.load(lm_row_ptr + n, mask=here, other=0).to(tl.int64)[:, None]
        node = tl.load(node_ptr + n, mask=here, other=0)
        inside = here[:, None] & exists[None, :]
        readout, first, second = activate(
            am_ptr, lm_ptr, am_row, lm_row, j[None, :], inside, R, ACTIVATION, SUM
        )
        at = n.to(tl.int64)[:, None] * COLUMNS + j[None, :]
        gradient = tl.load(readout_gradient_ptr + at, mask=inside, other=0.0)
        if DROPOUT:
            gradient = tl.where(keep_tile(seed, node, j, threshold), gradient, 0.0)
        if EMISSION:
            emission = tl.load(emission_gradient_ptr + n, mask=here, other=0.0)
            gradient += emission[:, None] * weight[None, :]
            if WEIGHT:
                weight_sum += tl.sum(emission[:, None] * readout, axis=0)
        gradient = tl.where(inside, gradient, 0.0)
        first_sum += tl.sum(gradient * first, axis=0)
        second_sum += tl.sum(gradient * second, axis=0)
        place += BLOCK_N
    at = own_gradient_ptr + (first_row + own).to(tl.int64) * R
    if ACTIVATION == "maxout":
        at_even, at_odd = at + 2 * j, at + 2 * j + 1
        even = tl.load(at_even, mask=exists, other=0.0) + first_sum
        odd = tl.load(at_odd, mask=exists, other=0.0) + second_sum
        tl.store(at_even, even, mask=exists)
        tl.store(at_odd, odd, mask=exists)
    else:
        value = tl.load(at + j, mask=exists, other=0.0) + first_sum
        tl.store(at + j, value, mask=exists)
    if WEIGHT:
        at = weight_gradient_ptr + own.to(tl.int64) * J + j
        tl.store(at, weight_sum, mask=exists)


def add_row_gradients(
    joint: Joint,
    nodes: Nodes,
    rows: Rows,
    readout_gradient_NJ: torch.Tensor,
    emission_gradient_N: Optional[torch.Tensor],
    out: torch.Tensor,
    with_weight: bool = False,
) -> Optional[torch.Tensor]:
    """Add the gradient that nodes send to rows of am or of lm.

    Args:
        joint: Projections, emission weight, activation and dropout.
        nodes: N nodes.
        rows: The same nodes by row of am, or by row of lm.
        readout_gradient_NJ: At the readout that the softmax sees, ``padded(J)``
            columns.
        emission_gradient_N: At the emission logit; None where there is none.
        out: Gradient of all rows of am [A, R] or of lm [M, R], in the format of sums.
        with_weight: Also compute the result.

    Returns:
        Gradient of the emission weight [J], if asked for.
    """
    count = rows.start_P.numel() - 1
    sums_PJ = out.new_empty((count, joint.columns)) if with_weight else None
    emits = emission_gradient_N is not None
    _backward_kernel[(count, triton.cdiv(joint.columns, BLOCK_J))](
        joint.am_AR,
        joint.lm_MR,
        nodes.frame_N,
        nodes.position_N,
        nodes.node_N,
        rows.order_N,
        rows.start_P,
        joint.emission_weight_J if emits else out,
        readout_gradient_NJ,
        emission_gradient_N if emits else out,
        out,
        sums_PJ if with_weight else out,
        rows.first,
        joint.dropout_seed,
        threshold_of(joint.dropout_rate),
        R=joint.am_AR.size(1),
        J=joint.columns,
        COLUMNS=readout_gradient_NJ.size(1),
        ACTIVATION=joint.activation,
        DROPOUT=joint.dropout_rate > 0,
        EMISSION=emits,
        WEIGHT=with_weight,
        SUM=TL_TYPES[joint.sum_dtype],
        BLOCK_N=BLOCK_N,
        BLOCK_J=BLOCK_J,
    )
    return sums_PJ.sum(0) if with_weight else None
