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
from typing import NamedTuple, Optional, Tuple, Union

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
    device = scores.blank_BTS.device
    chain = chain_of(scores, labels_BL, frame_lens_B, label_lens_B, topology)
    alpha_BNZ = forward(chain, METHODS[method])
    return _trace_back(chain, alpha_BNZ, labels_BL.to(device), blank)


def _trace_back(
    chain: Chain, alpha_BNZ: torch.Tensor, labels_BL: torch.Tensor, blank: int
) -> Alignment:
    batch, steps, _ = chain.arcs[0].score_BNZ.shape
    symbols_BN = labels_BL.new_full((batch, steps), NO_SYMBOL, dtype=torch.long)
    score_B = alpha_BNZ.new_zeros(batch)
    state_B = _end_states(chain, alpha_BNZ)
    # one label is always there to be looked up, also where there are none
    labels_BL = torch.nn.functional.pad(labels_BL.long(), (0, 1))
    for n in reversed(range(steps)):
        active_B = n < chain.steps_B
        source_B, arc_score_B, is_blank_B = _best_arc(
            chain, alpha_BNZ[:, n], n, state_B
        )
        place_B = (chain.label_count(state_B) - 1).clamp(min=0)
        label_B = labels_BL.gather(1, place_B.unsqueeze(1)).squeeze(1)
        symbol_B = label_B.masked_fill(is_blank_B, blank)
        symbols_BN[:, n] = torch.where(active_B, symbol_B, NO_SYMBOL)
        score_B = torch.where(active_B, score_B + arc_score_B, score_B)
        state_B = torch.where(active_B, source_B, state_B)
    lost_B = ~(score_B > IMPOSSIBLE) | (state_B != 0)
    symbols_BN.masked_fill_(lost_B.unsqueeze(1), NO_SYMBOL)
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


def _best_arc(
    chain: Chain, alpha_BZ: torch.Tensor, step: int, state_B: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The arc that arrives with the highest score: its source, score, if blank."""
    best: Optional[Tuple[torch.Tensor, ...]] = None
    for arc in chain.arcs:
        source_B = state_B - arc.offset
        place_B1 = source_B.clamp(min=0).unsqueeze(1)
        arc_score_B = arc.score_BNZ[:, step].gather(1, place_B1).squeeze(1)
        arc_score_B = arc_score_B.masked_fill(source_B < 0, IMPOSSIBLE)
        value_B = alpha_BZ.gather(1, place_B1).squeeze(1) + arc_score_B
        here = value_B, source_B, arc_score_B, chain.emits_blank(arc, source_B)
        if best is None:
            best = here
            continue
        better_B = value_B > best[0]
        best = tuple(torch.where(better_B, new, old) for new, old in zip(here, best))
    return best[1:]
