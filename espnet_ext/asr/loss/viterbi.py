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
from typing import NamedTuple, Sequence, Union

import torch

from espnet_ext.asr.loss.chain import IMPOSSIBLE, Arc, ArcScores, Chain
from espnet_ext.asr.loss.dense import arc_index, arc_scores, check_scores
from espnet_ext.asr.loss.lattice import chain_of
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
    batch, steps, states = chain.arcs[0].score_BNZ.shape
    alpha_NBZ = chain.arcs[0].score_BNZ.new_empty(steps + 1, batch, states)
    alpha_NBZ[0] = IMPOSSIBLE
    alpha_NBZ[0, :, 0] = 0.0
    arc_NBZ = walk(chain.arcs, alpha_NBZ, method)
    return trace_back(chain, alpha_NBZ, arc_NBZ, labels_BL.to(arc_NBZ.device), blank)


def walk(
    arcs: Sequence[Arc], alpha_NBZ: torch.Tensor, method: str = "exact"
) -> torch.Tensor:
    """Number of the arc that arrives with the highest score in each state [N, B, Z].

    Args:
        arcs: With scores [B, N, Z]; the first leads to the state it comes from.
        alpha_NBZ: Of N + 1 steps; all but the first one are filled.
        method: ``exact`` or ``sum_alpha``, what the alphas are.
    """
    combine, exact = METHODS[method], method == "exact"
    steps, (batch, states) = len(alpha_NBZ) - 1, alpha_NBZ.shape[1:]
    best_arc_NBZ = alpha_NBZ.new_zeros((steps, batch, states), dtype=torch.int8)
    best_BZ = alpha_NBZ.new_empty(batch, states)
    # views are made once: a few small operations a step are all that is left
    every, stay = alpha_NBZ.unbind(0), arcs[0].score_BNZ.unbind(1)
    onward, decisions = [], []
    for number, (offset, score_BNZ, _) in enumerate(arcs[1:], start=1):
        kept = max(states - offset, 0)
        better_NBZ = torch.zeros_like(best_arc_NBZ, dtype=torch.bool)
        decisions.append(better_NBZ)
        views = (
            alpha_NBZ[:-1, :, :kept].unbind(0),
            score_BNZ[..., :kept].unbind(1),
            alpha_NBZ[1:, :, states - kept :].unbind(0),
            better_NBZ[..., states - kept :].unbind(0),
        )
        onward.append((*views, alpha_NBZ.new_empty(batch, kept)))
    for step in range(steps):
        torch.add(every[step], stay[step], out=every[step + 1])
        if not exact:
            best_BZ.copy_(every[step + 1])
        for sources, moves, targets, better, value in onward:
            torch.add(sources[step], moves[step], out=value)
            target = targets[step]
            best = target if exact else best_BZ[:, states - value.size(1) :]
            torch.gt(value, best, out=better[step])  # the first of equals stays
            combine(target, value, out=target)
            if not exact:
                torch.maximum(best, value, out=best)
    for number, better_NBZ in enumerate(decisions, start=1):
        arrived_NBZ = better_NBZ.view(torch.int8).mul_(number)
        torch.maximum(best_arc_NBZ, arrived_NBZ, out=best_arc_NBZ)
    return best_arc_NBZ


def trace_back(
    chain: Chain,
    alpha_NBZ: torch.Tensor,
    arc_NBZ: torch.Tensor,
    labels_BL: torch.Tensor,
    blank: int,
) -> Alignment:
    """The alignment that the best arcs of ``walk`` lead along."""
    alpha_BNZ = alpha_NBZ.transpose(0, 1)
    batch, steps, _ = chain.arcs[0].score_BNZ.shape
    if not steps:
        empty_BN = labels_BL.new_empty((batch, 0), dtype=torch.long)
        score_B = alpha_BNZ.new_zeros(batch)
        return Alignment(empty_BN, score_B.masked_fill(chain.states_B > 1, IMPOSSIBLE))
    # all decisions are there: one look-up a step is left, on the way back
    before_N = _states_before(chain, arc_NBZ).unbind(0)
    state_NB1 = arc_NBZ.new_empty((steps + 1, batch, 1), dtype=torch.long)
    state_NB1[steps] = _end_states(chain, alpha_BNZ).unsqueeze(1)
    state_N = state_NB1.unbind(0)
    for n in reversed(range(steps)):
        torch.gather(before_N[n], 1, state_N[n + 1], out=state_N[n])
    state_BN1 = state_NB1.squeeze(2).t()
    to_BN, source_BN = state_BN1[:, 1:], state_BN1[:, :-1]
    arc_BN = arc_NBZ.gather(2, to_BN.t().unsqueeze(2)).squeeze(2).t()
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


def _states_before(chain: Chain, arc_NBZ: torch.Tensor) -> torch.Tensor:
    """Where these arcs come from; after the end of a sequence, where they lead."""
    offsets = [arc.offset for arc in chain.arcs]
    if offsets != list(range(len(offsets))):
        offsets_A = torch.tensor(offsets, dtype=torch.int8, device=arc_NBZ.device)
        arc_NBZ = offsets_A[arc_NBZ.long()]
    steps, _, states = arc_NBZ.shape
    steps_N1 = torch.arange(steps, device=arc_NBZ.device).unsqueeze(1)
    offset_NBZ = arc_NBZ * (steps_N1 < chain.steps_B).unsqueeze(2)
    return torch.arange(states, device=arc_NBZ.device) - offset_NBZ
