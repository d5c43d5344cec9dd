"""The recursion of the lattice: one program for each sequence and direction.

    alpha(n + 1, z) = log sum_o exp(alpha(n, z - o) + arc_o(n, z - o))

``lattice.py`` brings every topology into this form, forward and backward alike, as rows
of one batch. In PyTorch a step costs three launches, some ten microseconds for a few
hundred numbers; here the row of scores stays in registers for all steps.

float64, as everywhere: exp(alpha + beta - total) loses one digit for each factor of ten
in the total, and a program waits for memory and for the previous step, not for
arithmetic. Linear scores, rescaled in each frame, would save the logarithm, but states
of one row may lie more than the 700 nats of float64's range apart and both matter.
"""

# Dimensions: N steps, R rows (sequences, once for each direction), Z states
from typing import Dict

import torch
import triton
import triton.language as tl

MAXIMUM_STATES_PER_WARP = 256


@triton.jit
def _log_add(a, b):
    # where nothing leads, both are -inf, and their difference would not be a number
    top = tl.maximum(a, b)
    finite = top > float("-inf")
    safe = tl.where(finite, top, 0.0)
    total = tl.exp(a - safe) + tl.exp(b - safe)
    return tl.where(finite, safe + tl.log(tl.where(finite, total, 1.0)), top)


@triton.jit
def _load_arc(ptr, step, row, z, offset, steps, rows, states):
    # arcs are stored at the state they leave; [N, R, Z] may exceed 2^31 elements
    at = (step.to(tl.int64) * rows + row) * states
    there = (z >= offset) & (z < states) & (step < steps)
    return tl.load(ptr + at + z - offset, mask=there, other=float("-inf"))


@triton.jit
def _recursion_kernel(
    stay_ptr,
    onward_ptr,
    skip_ptr,
    start_ptr,
    alpha_ptr,
    steps,
    rows,
    states,
    HAS_SKIP: tl.constexpr,
    BLOCK_Z: tl.constexpr,
):
    row = tl.program_id(0)
    z = tl.arange(0, BLOCK_Z)
    inside = z < states
    at = row.to(tl.int64) * states
    alpha = tl.load(start_ptr + at + z, mask=inside, other=float("-inf"))
    tl.store(alpha_ptr + at + z, alpha, mask=inside)
    step = row * 0
    # arcs are loaded one step ahead: they do not depend on the sums
    stay = _load_arc(stay_ptr, step, row, z, 0, steps, rows, states)
    onward = _load_arc(onward_ptr, step, row, z, 1, steps, rows, states)
    skip = onward
    if HAS_SKIP:
        skip = _load_arc(skip_ptr, step, row, z, 2, steps, rows, states)
    while step < steps:
        ahead = step + 1
        next_stay = _load_arc(stay_ptr, ahead, row, z, 0, steps, rows, states)
        next_onward = _load_arc(onward_ptr, ahead, row, z, 1, steps, rows, states)
        next_skip = next_onward
        if HAS_SKIP:
            next_skip = _load_arc(skip_ptr, ahead, row, z, 2, steps, rows, states)
        arriving = tl.gather(alpha, tl.maximum(z - 1, 0), 0) + onward
        total = _log_add(alpha + stay, arriving)
        if HAS_SKIP:
            arriving = tl.gather(alpha, tl.maximum(z - 2, 0), 0) + skip
            total = _log_add(total, arriving)
        alpha = total
        stay, onward, skip = next_stay, next_onward, next_skip
        step = ahead
        at = (step.to(tl.int64) * rows + row) * states
        tl.store(alpha_ptr + at + z, alpha, mask=inside)


def recursion(arcs: Dict[int, torch.Tensor], start_RZ: torch.Tensor) -> torch.Tensor:
    """All scores alpha [N + 1, R, Z], float64.

    Args:
        arcs: By offset 0, 1 and maybe 2, float64 [N, R, Z]: log score of the arc that
            leaves state z in step n, -inf where there is none.
        start_RZ: alpha(0), float64.
    """
    steps, rows, states = arcs[0].shape
    alpha = start_RZ.new_empty(steps + 1, rows, states)
    if rows == 0:
        return alpha
    block = max(32, triton.next_power_of_2(states))
    stay, onward, skip = (
        arcs[offset].contiguous() if offset in arcs else None for offset in (0, 1, 2)
    )
    _recursion_kernel[(rows,)](
        stay,
        stay if onward is None else onward,
        stay if skip is None else skip,
        start_RZ.contiguous(),
        alpha,
        steps,
        rows,
        states,
        HAS_SKIP=skip is not None,
        BLOCK_Z=block,
        # within one warp the shift by a state needs no shared memory
        num_warps=max(1, min(8, block // MAXIMUM_STATES_PER_WARP)),
    )
    return alpha
