"""Sums over all alignments where nobody asks for posteriors: products, no logarithms.

    a(n + 1, z) = sum_a a(n, z - o_a) exp(score_a(n, z - o_a))

is the recursion of ``asr/loss/lattice.py`` without its logarithms, and costs a fraction
of it. It is used where it cannot lose anything: no score is above 0 (but for rounding),
so that what follows a node sums to at most A^N (A arcs a node, N steps), and what falls
below the smallest double on the way, 1e-308, changes the sum by less than a double
resolves if the best alignment alone has exp(-708 + N log A + 46). Everything else takes
logarithms.
"""

# Dimensions: B batch, N steps, Z states
import math
from typing import Callable, List, Optional, Sequence, Tuple

import torch

from espnet_ext.asr.loss.chain import IMPOSSIBLE, Arc, Chain
from espnet_ext.asr.loss.lattice import forward
from espnet_ext.asr.loss.viterbi import Alignment, best_of_chain

SMALLEST = math.log(torch.finfo(torch.float64).tiny)
LARGEST = 1.001  # weight of an arc of a rounded distribution
MARGIN = 46.0  # a double resolves 37 nats, and there are less than exp(9) states


def path_and_sum(
    chain: Chain,
    labels_BL: torch.Tensor,
    blank: int,
    method: str,
    weights: Optional[List[torch.Tensor]] = None,
) -> Tuple[Alignment, torch.Tensor]:
    """An alignment of each sequence and the log of the sum over all [B].

    Args:
        chain: The lattice.
        labels_BL, blank, method: As ``viterbi`` has them.
        weights: exp of the scores of the chain's arcs, if they are there already.
    """
    found = best_of_chain(chain, labels_BL, blank, method)
    return found, full_sums(chain, found.score_B, weights)


def full_sums(
    chain: Chain,
    best_B: torch.Tensor,
    weights: Optional[List[torch.Tensor]] = None,
) -> torch.Tensor:
    """Log of the sum over all alignments [B], -inf where there is none.

    Args:
        chain: The lattice.
        best_B: Score of the best alignment, or of any; -inf where there is none.
        weights: exp of the scores of the chain's arcs, if they are there already.
    """
    size_BNZ = chain.arcs[0].score_BNZ.shape
    floor = smallest_sum(size_BNZ[1], len(chain.arcs))
    if size_BNZ.numel() and not bool(((best_B < floor) & (best_B > IMPOSSIBLE)).any()):
        weights = weights or [score_BNZ.exp() for _, score_BNZ, _ in chain.arcs]
        # a comparison with nan is false
        if all(bool(weight.amax() < LARGEST) for weight in weights):
            batch, steps, states = size_BNZ
            sums_NBZ = weights[0].new_zeros(steps + 1, batch, states)
            sums_NBZ[0, :, 0] = 1.0
            add_products(chain.arcs, weights, sums_NBZ)
            return _at_end(chain, sums_NBZ.transpose(0, 1), torch.add).log_()
    return _at_end(chain, forward(chain), torch.logaddexp)


def smallest_sum(steps: int, arcs: int) -> float:
    """Log of the smallest sum that ``add_products`` is exact for."""
    return SMALLEST + steps * math.log(LARGEST * arcs) + MARGIN


def add_products(
    arcs: Sequence[Arc], weights: Sequence[torch.Tensor], sums_NBZ: torch.Tensor
) -> None:
    """The sums of all steps but the first, which is there; the others are 0.

    Args:
        arcs: Of a chain.
        weights: exp of their scores [B, N, Z].
        sums_NBZ: exp(alpha) of N + 1 steps.
    """
    states, moves = sums_NBZ.size(2), []
    for (offset, *_), weight_BNZ in zip(arcs, weights):
        kept = max(states - offset, 0)
        sources = sums_NBZ[:-1, :, :kept].unbind(0)
        targets = sums_NBZ[1:, :, states - kept :].unbind(0)
        moves.append(list(zip(targets, sources, weight_BNZ[..., :kept].unbind(1))))
    for arrivals in zip(*moves):
        for target_BZ, source_BZ, weight_BZ in arrivals:
            target_BZ.addcmul_(source_BZ, weight_BZ)


def _at_end(
    chain: Chain,
    alpha_BNZ: torch.Tensor,
    add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    rows_B = torch.arange(alpha_BNZ.size(0), device=alpha_BNZ.device)
    end_BZ = alpha_BNZ[rows_B, chain.steps_B]
    total_B = end_BZ[rows_B, chain.states_B - 1]
    if not chain.split:
        return total_B
    # it may also end in the last label
    in_label_B = end_BZ[rows_B, (chain.states_B - 2).clamp(min=0)]
    both_B = add(total_B, in_label_B)
    return torch.where(chain.states_B < 2, total_B, both_B)
