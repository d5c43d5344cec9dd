"""One alignment of a label sequence: the best one, or the original's.

``exact``: the recursion of ``lattice.py`` with max in place of the sum, and the arcs
that were the maximum read back from the end.

``sum_alpha``: the arcs are read back in the same way, but from the *full-sum* alphas.
That is what the original does; the result has a high probability, but need not be the
best alignment: with many weak alignments through a node, it goes there.

In both, of two equally good arcs the one with blank is taken, then the label, then the
repetition.

Ref: reference/losses.md 7 and corrections.md 9.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, V vocabulary,
#             N steps (symbols of an alignment), Z states of the chain
from typing import NamedTuple, Tuple, Union

import torch

from espnet_ext.asr.loss.chain import IMPOSSIBLE, ArcScores, Chain
from espnet_ext.asr.loss.dense import arc_index, arc_scores, check_scores
from espnet_ext.asr.loss.lattice import chain_of, forward
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.errors import OptionError

METHODS = {"exact": torch.maximum, "sum_alpha": torch.logaddexp}
NO_SYMBOL = -1


class Alignment(NamedTuple):
    """One alignment for each sequence.

    Attributes:
        symbols_BN: A label id or blank for each symbol, -1 in the padding and where a
            sequence has no alignment. N is T; T + L for rnnt, where only blanks end a
            frame.
        score_B: Sum of the log scores of its symbols, float64; -inf if there is none.
    """

    symbols_BN: torch.Tensor
    score_B: torch.Tensor


@torch.no_grad()
def viterbi(
    scores: Union[torch.Tensor, ArcScores],
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
    method: str = "exact",
) -> Alignment:
    """The alignment of each sequence with its labels.

    Args:
        scores: As for ``full_sum_loss``, or the scores of the arcs alone.
        labels_BL: Label ids, padded with anything.
        frame_lens_B: Valid frames.
        label_lens_B: Valid labels.
        topology: Name or object.
        blank: Index of blank in V; with ArcScores, the id that stands for it.
        method: ``exact`` or ``sum_alpha``.

    Raises:
        OptionError: Unknown method, or an id outside the vocabulary.
        ValueError: Shapes do not fit.
    """
    topology = get_topology(topology)
    if method not in METHODS:
        raise OptionError(
            f"unknown method {method!r} of alignment", expected=", ".join(METHODS)
        )
    if isinstance(scores, torch.Tensor):
        lengths = frame_lens_B, label_lens_B
        check_scores(scores, labels_BL, *lengths, topology, blank)
        index = arc_index(labels_BL.to(scores.device), label_lens_B)
        scores = arc_scores(scores, index, topology, blank)
    chain = chain_of(scores, labels_BL, frame_lens_B, label_lens_B, topology)
    return best_of_chain(chain, labels_BL, blank, method)


@torch.no_grad()
def best_of_chain(
    chain: Chain, labels_BL: torch.Tensor, blank: int = 0, method: str = "exact"
) -> Alignment:
    """``viterbi`` on a chain that is there already."""
    alpha_BNZ = forward(chain, METHODS[method])
    return _trace_back(chain, alpha_BNZ, labels_BL.to(alpha_BNZ.device), blank)


def _trace_back(
    chain: Chain, alpha_BNZ: torch.Tensor, labels_BL: torch.Tensor, blank: int
) -> Alignment:
    batch, steps, _ = chain.arcs[0].score_BNZ.shape
    if not steps:
        empty_BN = labels_BL.new_empty((batch, 0), dtype=torch.long)
        score_B = alpha_BNZ.new_zeros(batch)
        return Alignment(empty_BN, score_B.masked_fill(chain.states_B > 1, IMPOSSIBLE))
    arc_BNZ, offset_BNZ = _best_arcs(chain, alpha_BNZ)
    # all decisions are there: one look-up a step is left, on the way back
    offset_N = offset_BNZ.unbind(1)
    state_B1 = _end_states(chain, alpha_BNZ).unsqueeze(1)
    states = [state_B1]
    for n in reversed(range(steps)):
        state_B1 = state_B1 - offset_N[n].gather(1, state_B1)
        states.append(state_B1)
    state_BN1 = torch.cat(states[::-1], dim=1)
    to_BN, source_BN = state_BN1[:, 1:], state_BN1[:, :-1]
    arc_BN = arc_BNZ.gather(2, to_BN.unsqueeze(2)).squeeze(2)
    score_BN = alpha_BNZ.new_zeros(batch, steps)
    blank_BN = torch.zeros_like(arc_BN, dtype=torch.bool)
    for number, arc in enumerate(chain.arcs):
        here_BN = arc_BN == number
        value_BN = arc.score_BNZ.gather(2, source_BN.unsqueeze(2)).squeeze(2)
        score_BN = torch.where(here_BN, value_BN, score_BN)
        blank_BN = blank_BN | (here_BN & chain.emits_blank(arc, source_BN))
    # one label is always there to be looked up, also where there are none
    labels_BL = torch.nn.functional.pad(labels_BL.long(), (0, 1))
    place_BN = (chain.label_count(to_BN) - 1).clamp(min=0)
    symbols_BN = labels_BL.gather(1, place_BN).masked_fill(blank_BN, blank)
    steps_N = torch.arange(steps, device=alpha_BNZ.device)
    after_BN = steps_N >= chain.steps_B.unsqueeze(1)
    score_B = score_BN.masked_fill(after_BN, 0.0).sum(1)
    lost_B = ~(score_B > IMPOSSIBLE) | (source_BN[:, 0] != 0)
    symbols_BN = symbols_BN.masked_fill(after_BN | lost_B.unsqueeze(1), NO_SYMBOL)
    return Alignment(symbols_BN, score_B.masked_fill(lost_B, IMPOSSIBLE))


def _end_states(chain: Chain, alpha_BNZ: torch.Tensor) -> torch.Tensor:
    """The last state; where positions are split, the better of the last two."""
    state_B = chain.states_B - 1
    if not chain.split:
        return state_B
    rows_B = torch.arange(len(state_B), device=state_B.device)
    end_BZ = alpha_BNZ[rows_B, chain.steps_B]
    in_label_B = (state_B - 1).clamp(min=0)
    better_B = end_BZ[rows_B, in_label_B] > end_BZ[rows_B, state_B]
    return torch.where(better_B, in_label_B, state_B)


def _best_arcs(
    chain: Chain, alpha_BNZ: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """What arrives with the highest score in each state: number of the arc, and how
    many states it leads on; 0 after the end of a sequence. Both int8 [B, N, Z].
    """
    size_BNZ = chain.arcs[0].score_BNZ.shape
    steps, states = size_BNZ[1:]
    best_BNZ = alpha_BNZ.new_full(size_BNZ, IMPOSSIBLE)
    arc_BNZ, offset_BNZ = (
        torch.zeros(size_BNZ, dtype=torch.int8, device=alpha_BNZ.device)
        for _ in range(2)
    )
    for number, (offset, score_BNZ, _) in enumerate(chain.arcs):
        kept = max(states - offset, 0)
        value = alpha_BNZ[:, :-1, :kept] + score_BNZ[..., :kept]
        best = best_BNZ[..., states - kept :]
        better = value > best  # of equally good arcs the first one stays
        arc_BNZ[..., states - kept :].masked_fill_(better, number)
        offset_BNZ[..., states - kept :].masked_fill_(better, offset)
        torch.maximum(best, value, out=best)
    steps_N = torch.arange(steps, device=best_BNZ.device)
    after_BN = steps_N >= chain.steps_B.unsqueeze(1)
    return arc_BNZ, offset_BNZ.masked_fill_(after_BN.unsqueeze(2), 0)
