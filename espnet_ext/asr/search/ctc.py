"""Batched searches for CTC: best path, and prefix beam search.

With ``collapse`` adjacent equal symbols are one label (the standard topology). Without,
every frame that is not blank is a label: what the original's search did with its CTC
models, which reads "a a" where the model means "a".

Without collapse, and with any recombination, ``TimeSyncSearch(FramewiseDecoder(V))`` is
the search of the original.

Ref: Graves et al. 2006; Hannun et al. 2014, First-pass large vocabulary continuous
speech recognition (prefix beam search). Source: reference/recognition.md 1.
"""

# Dimensions: B batch, n sequences that have not ended, K hypotheses, T frames,
#             V vocabulary, blank first
from typing import List, NamedTuple

import torch

from espnet_ext.asr.search.beam import BeamEntry
from espnet_ext.asr.search.greedy import GreedyResult
from espnet_ext.asr.search.interface import State, map_state
from espnet_ext.asr.search.label_scorer import FusedScores
from espnet_ext.asr.search.recombination import DEAD, log_add
from espnet_ext.asr.search.rnnt import LabelTree
from espnet_ext.asr.search.surface import extend_keys


class FramewiseDecoder:
    """SearchDecoder of outputs that do not depend on labels: frames are the scores."""

    blank_id = 0
    frame_dependent = False
    label_context = 0  # labels that the outputs depend on

    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size

    def search_start(self, batch: int, bos: str = "run") -> State:
        """A state of ``batch`` rows without content."""
        return (torch.zeros(batch, 1),)

    def search_scores(self, frames_BV: torch.Tensor, state: State):
        """The frames, once for each row of a sequence."""
        repeats = state[0].size(0) // max(frames_BV.size(0), 1)
        return frames_BV.repeat_interleave(repeats, dim=0), state

    def search_advance(self, state: State, rows_N, symbols_N) -> State:
        """The same state."""
        return state


def ctc_greedy(
    log_probs_BTV: torch.Tensor, lengths_B: torch.Tensor, collapse: bool = True
) -> List[GreedyResult]:
    """The best symbol of each frame."""
    best_BT, symbols_BT = log_probs_BTV.max(dim=2)
    results = []
    for best, symbols, length in zip(best_BT, symbols_BT, lengths_B.tolist()):
        path = symbols[:length]
        if collapse:
            path = path.unique_consecutive()
        labels = [symbol for symbol in path.tolist() if symbol]
        results.append(GreedyResult(labels, float(best[:length].double().sum())))
    return results


class _Prefixes(NamedTuple):
    """Tensors [n, K]; log-probabilities of ending in blank or in the last label."""

    blank: torch.Tensor
    label: torch.Tensor
    last: torch.Tensor
    keys: torch.Tensor
    parent_keys: torch.Tensor
    nodes: torch.Tensor
    fused: torch.Tensor  # sum of the language models' weighted scores
    scorers: State

    def total(self) -> torch.Tensor:
        """Score of each prefix."""
        return log_add(self.blank, self.label) + self.fused


class CtcPrefixSearch:
    """Beam search over label prefixes, alignments added up.

    Args:
        beam_size: K.
        scorers: Language models with weights, as in TimeSyncSearch.
    """

    def __init__(self, beam_size: int = 12, scorers=()):
        if beam_size < 1:
            raise ValueError(f"beam_size {beam_size}: expected at least 1")
        self.beam_size = beam_size
        self.fused = FusedScores(scorers, blank_id=0)

    @torch.no_grad()
    def __call__(
        self, log_probs_BTV: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[BeamEntry]]:
        """N-best lists, best first; ``symbols`` of an entry are its labels."""
        order = torch.argsort(lengths_B.cpu(), descending=True, stable=True)
        lengths = lengths_B.cpu()[order].tolist()
        device = log_probs_BTV.device
        log_probs_BTV = log_probs_BTV.index_select(0, order.to(device)).double()
        tree = LabelTree(device)
        beam = self._start(len(lengths), device)
        scores_BK, nodes_BK = beam.total(), beam.nodes.clone()
        running = len(lengths)
        for t in range(max(lengths, default=0)):
            while lengths[running - 1] <= t:
                running -= 1
            if running < beam.last.size(0):
                rows = running * self.beam_size
                scorers = map_state(beam.scorers, lambda x: x[:rows])
                beam = _Prefixes(*(x[:running] for x in beam[:-1]), scorers)
            beam = self._frame(beam, log_probs_BTV[:running, t], tree)
            scores_BK[:running], nodes_BK[:running] = beam.total(), beam.nodes
        scores_BK, best = scores_BK.sort(dim=1, descending=True, stable=True)
        nodes_BK = nodes_BK.gather(1, best)
        found = []
        for scores, nodes in zip(scores_BK.tolist(), nodes_BK.tolist()):
            entries = zip(scores, tree.sequences(nodes))
            found.append([BeamEntry(s, y, y) for s, y in entries if s > DEAD])
        return [found[i] for i in torch.argsort(order).tolist()]

    def _start(self, batch: int, device) -> _Prefixes:
        shape = batch, self.beam_size
        dead = torch.full(shape, DEAD, dtype=torch.float64, device=device)
        blank = dead.clone()
        blank[:, 0] = 0.0
        zeros = torch.zeros(shape, dtype=torch.long, device=device)
        scorers = self.fused.start(batch * self.beam_size)
        return _Prefixes(
            blank, dead, zeros, zeros, zeros - 1, zeros, torch.zeros_like(dead), scorers
        )

    def _frame(self, beam: _Prefixes, log_probs_nV, tree: LabelTree) -> _Prefixes:
        n, size = beam.last.shape
        vocabulary = log_probs_nV.size(1)
        alive = log_add(beam.blank, beam.label)
        # the prefix as it is: blank, or its last label once more
        blank = alive + log_probs_nV[:, :1]
        own = log_probs_nV.gather(1, beam.last)
        label = torch.where(beam.last > 0, beam.label + own, DEAD)
        # one more label; after the same label only from blank
        extend = alive.unsqueeze(2) + log_probs_nV.unsqueeze(1)
        repeat = (beam.blank + own).unsqueeze(2)
        extend = extend.scatter(2, beam.last.unsqueeze(2), repeat)
        extend[:, :, 0] = DEAD
        new_fused = torch.zeros_like(extend)
        new_fused = self.fused.add(new_fused.flatten(0, 1), beam.scorers)
        new_fused = new_fused.view_as(extend)
        # an extension that is a prefix of the beam already
        same = beam.parent_keys.unsqueeze(2) == beam.keys.unsqueeze(1)
        same &= (alive > DEAD).unsqueeze(1) & (alive > DEAD).unsqueeze(2)
        found, source = same.to(torch.uint8).max(dim=2)
        found = found > 0
        place = source * vocabulary + beam.last
        joined = torch.where(found, extend.flatten(1).gather(1, place), DEAD)
        label = log_add(label, joined)
        column_zero = torch.arange(size, device=place.device) * vocabulary
        place = torch.where(found, place, column_zero)
        extend.flatten(1).scatter_(1, place, DEAD)
        stays = log_add(blank, label) + beam.fused
        goes = (extend + beam.fused.unsqueeze(2) + new_fused).flatten(1)
        value, best = torch.cat([stays, goes], dim=1).topk(size, dim=1)
        stayed = best < size
        arc = (best - size).clamp(min=0)
        origins = torch.where(
            stayed, best, torch.div(arc, vocabulary, rounding_mode="floor")
        )
        labels = torch.where(stayed, 0, arc % vocabulary)

        def of_origin(x):
            return x.gather(1, origins)

        dead = value == DEAD
        keys, nodes = of_origin(beam.keys), of_origin(beam.nodes)
        new_nodes = tree.add(nodes, labels)
        rows = origins + torch.arange(n, device=origins.device).unsqueeze(1) * size
        chosen_label = torch.where(
            stayed, of_origin(label), extend.flatten(1).gather(1, arc)
        )
        added = new_fused.flatten(1).gather(1, arc)
        return _Prefixes(
            torch.where(stayed & ~dead, of_origin(blank), DEAD),
            torch.where(dead, DEAD, chosen_label),
            torch.where(stayed, of_origin(beam.last), labels),
            torch.where(stayed, keys, extend_keys(keys, labels)),
            torch.where(stayed, of_origin(beam.parent_keys), keys),
            torch.where(stayed, nodes, new_nodes),
            of_origin(beam.fused) + torch.where(stayed, 0.0, added),
            self.fused.advance(beam.scorers, rows.flatten(), labels.flatten()),
        )
