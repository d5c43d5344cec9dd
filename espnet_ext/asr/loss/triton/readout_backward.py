"""From the gradient at the readout of packed nodes to that at am and at lm.

A program owns one row of am (or of lm) and a block of columns, and adds up what the
nodes of that row send back. No atomic operations: the same input gives the same bits.
"""

# Dimensions: N packed nodes, R readout before the activation, J after it,
#             A rows of am (B T), M rows of lm (B S), P rows that are added up
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.triton.blocks import TL_TYPES, sum_dtype
from espnet_ext.asr.loss.triton.joint import Joint, Nodes
from espnet_ext.asr.loss.triton.readout import activate, dropout_factor

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
    factor_ptr,
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
    WEIGHT: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    own = tl.program_id(0)
    j = tl.program_id(1) * BLOCK_J + tl.arange(0, BLOCK_J)
    exists = j < J
    emission_weight = tl.load(emission_weight_ptr + j, mask=exists, other=0.0).to(SUM)
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
        if DROPOUT != "none":
            gradient *= dropout_factor(
                factor_ptr, seed, node, j, J, threshold, DROPOUT
            )
        emission = tl.load(emission_gradient_ptr + n, mask=here, other=0.0)[:, None]
        gradient += emission * emission_weight[None, :]
        gradient = tl.where(inside, gradient, 0.0)
        first_sum += tl.sum(gradient * first, axis=0)
        second_sum += tl.sum(gradient * second, axis=0)
        if WEIGHT:
            weight_sum += tl.sum(tl.where(inside, emission * readout, 0.0), axis=0)
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
    emission_gradient_N: torch.Tensor,
    out: torch.Tensor,
    with_weight: bool = False,
) -> torch.Tensor:
    """Add the gradient that nodes send to rows of am or of lm.

    Args:
        joint: Projections, emission weight, activation and dropout.
        nodes: N nodes.
        rows: The same nodes by row of am, or by row of lm.
        readout_gradient_NJ: At the dropped readout, ``padded(J)`` columns.
        emission_gradient_N: At the emission logit.
        out: Gradient of all rows of am [A, R] or of lm [M, R], in the format of sums.
        with_weight: Also compute the result.

    Returns:
        Gradient of the emission weight [J]; an empty tensor without ``with_weight``.
    """
    count = rows.start_P.numel() - 1
    sums = out.new_empty((count, joint.columns) if with_weight else (0,))
    _backward_kernel[(count, triton.cdiv(joint.columns, BLOCK_J))](
        joint.am_AR,
        joint.lm_MR,
        nodes.am_row_N,
        nodes.lm_row_N,
        nodes.id_N,
        rows.order_N,
        rows.start_P,
        joint.emission_weight_J,
        joint.dropout.factor_J,
        readout_gradient_NJ,
        emission_gradient_N,
        out,
        sums if with_weight else out,
        rows.first,
        joint.dropout.seed,
        joint.dropout.threshold,
        R=joint.am_AR.size(1),
        J=joint.columns,
        COLUMNS=readout_gradient_NJ.size(1),
        ACTIVATION=joint.activation,
        DROPOUT=joint.dropout.kind,
        WEIGHT=with_weight,
        SUM=TL_TYPES[sum_dtype(joint.am_AR.dtype)],
        BLOCK_N=BLOCK_N,
        BLOCK_J=BLOCK_J,
    )
    return sums.sum(0) if with_weight else sums
