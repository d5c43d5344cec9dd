"""Batched searches for RNN-T: a frame may emit several labels, blank goes to the next.

``RnntSearch`` is time-synchronous decoding with at most ``max_symbols`` labels a frame,
the search that ESPnet calls ``tsd``, for all sequences at once. In a frame the set C of
hypotheses that may still emit is expanded level by level; those that choose blank go to
the set A, where hypotheses with the same labels are added up, and the best of A begin
the next frame.

``rnnt_greedy`` loops over labels, not over frames: each sequence looks through its
frames for the first one where a label wins, with one product for many frames, so that
the prediction network runs in step for all sequences.

Ref: Saon et al. 2020, Alignment-length synchronous decoding for RNN transducer
(time-synchronous decoding); Xu et al. 2024, Label-looping.
"""

# Dimensions: B batch, n sequences that have not ended, K hypotheses, N = n K rows,
#             T frames, R projected frame, W frames looked at together, V vocabulary
from typing import List, NamedTuple

import torch

from espnet_ext.asr.search.beam import BeamEntry
from espnet_ext.asr.search.greedy import GreedyResult
from espnet_ext.asr.search.interface import SearchDecoder, State, map_state, where_rows
from espnet_ext.asr.search.label_scorer import FusedScores
from espnet_ext.asr.search.recombination import DEAD, merge_groups
from espnet_ext.asr.search.surface import extend_keys

WINDOW = 4  # frames that greedy search looks at together


class LabelTree:
    """Label sequences as nodes with a parent; node 0 is the empty sequence."""

    def __init__(self, device: torch.device):
        self.parents = [torch.full((1,), -1, device=device)]
        self.labels = [torch.full((1,), -1, device=device)]
        self.size = 1

    def add(self, parents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Numbers of new nodes, in the shape of the arguments."""
        first, self.size = self.size, self.size + parents.numel()
        self.parents.append(parents.flatten())
        self.labels.append(labels.flatten())
        numbers = torch.arange(first, self.size, device=parents.device)
        return numbers.view(parents.shape)

    def sequences(self, nodes: List[int]) -> List[List[int]]:
        """The labels that lead to each node."""
        parents = torch.cat(self.parents).tolist()
        labels = torch.cat(self.labels).tolist()
        found = []
        for node in nodes:
            sequence = []
            while node > 0:
                sequence.append(labels[node])
                node = parents[node]
            found.append(sequence[::-1])
        return found


class _Hypotheses(NamedTuple):
    """Tensors [n, K], states of N rows."""

    scores: torch.Tensor
    keys: torch.Tensor
    nodes: torch.Tensor
    decoder: State
    scorers: State


class RnntSearch:
    """Beam search through encoder frames.

    Args:
        decoder: See SearchDecoder; its state must not depend on frames.
        beam_size: K.
        max_symbols: Labels that a frame may emit.
        recombination: ``sum`` or ``max`` of the paths of a label sequence.
        bos, scorers: As in TimeSyncSearch.
    """

    def __init__(
        self,
        decoder: SearchDecoder,
        beam_size: int = 12,
        max_symbols: int = 2,
        recombination: str = "sum",
        bos: str = "run",
        scorers=(),
    ):
        if beam_size < 1 or max_symbols < 1:
            raise ValueError(
                f"beam_size {beam_size}, max_symbols {max_symbols}: expected at least 1"
            )
        if recombination not in ("sum", "max"):
            raise ValueError(f"recombination {recombination!r}: expected sum or max")
        if decoder.frame_dependent:
            raise ValueError("RNN-T search: the decoder's state depends on frames")
        self.decoder = decoder
        self.beam_size = beam_size
        self.max_symbols = max_symbols
        self.recombination = recombination
        self.bos = bos
        self.fused = FusedScores(scorers, decoder.blank_id)

    @torch.no_grad()
    def __call__(
        self, am_BTR: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[BeamEntry]]:
        """N-best lists, best first; ``symbols`` of an entry are its labels."""
        order = torch.argsort(lengths_B.cpu(), descending=True, stable=True)
        lengths = lengths_B.cpu()[order].tolist()
        am_BTR = am_BTR.index_select(0, order.to(am_BTR.device))
        tree = LabelTree(am_BTR.device)
        beam = self._start(len(lengths), am_BTR.device)
        scores_BK, nodes_BK = beam.scores.clone(), beam.nodes.clone()
        running = len(lengths)
        for t in range(max(lengths, default=0)):
            while lengths[running - 1] <= t:
                running -= 1
            if running < beam.scores.size(0):
                beam = self._first(beam, running)
            beam = self._frame(beam, am_BTR[:running, t], tree)
            scores_BK[:running], nodes_BK[:running] = beam.scores, beam.nodes
        sequences = tree.sequences(nodes_BK.flatten().tolist())
        size = self.beam_size
        found = [
            [
                BeamEntry(score, sequences[row * size + k], sequences[row * size + k])
                for k, score in enumerate(scores)
                if score > DEAD
            ]
            for row, scores in enumerate(scores_BK.tolist())
        ]
        return [found[i] for i in torch.argsort(order).tolist()]

    def _start(self, batch: int, device) -> _Hypotheses:
        shape = batch, self.beam_size
        scores = torch.full(shape, DEAD, dtype=torch.float64, device=device)
        scores[:, 0] = 0.0
        zeros = torch.zeros(shape, dtype=torch.long, device=device)
        rows = batch * self.beam_size
        states = self.decoder.search_start(rows, self.bos), self.fused.start(rows)
        return _Hypotheses(scores, zeros, zeros, *states)

    def _first(self, beam: _Hypotheses, count: int) -> _Hypotheses:
        rows = count * self.beam_size
        states = (map_state(x, lambda y: y[:rows]) for x in beam[3:])
        return _Hypotheses(*(x[:count] for x in beam[:3]), *states)

    def _frame(self, beam: _Hypotheses, frames_nR, tree: LabelTree) -> _Hypotheses:
        going, ended = beam, None
        for level in range(self.max_symbols + 1):
            log_probs, _ = self.decoder.search_scores(frames_nR, going.decoder)
            log_probs = self.fused.add(log_probs, going.scorers)
            log_probs = log_probs.view(*going.scores.shape, -1)
            blank = log_probs[:, :, self.decoder.blank_id]
            stopped = going._replace(scores=going.scores + blank)
            ended = stopped if ended is None else self._merge(ended, stopped)
            if level < self.max_symbols:
                going = self._emit(going, log_probs, tree)
        return ended

    def _merge(self, ended: _Hypotheses, stopped: _Hypotheses) -> _Hypotheses:
        """The best K of both, the same labels added up."""
        size = self.beam_size
        scores, keys, nodes = (
            torch.cat(pair, dim=1) for pair in zip(ended[:3], stopped[:3])
        )
        scores = merge_groups(keys, scores, self.recombination)
        scores, best = scores.topk(size, dim=1)
        n = scores.size(0)
        first_row = torch.arange(n, device=best.device).unsqueeze(1) * size
        from_stopped = best >= size
        rows = (torch.where(from_stopped, best - size, best) + first_row).flatten()
        chosen = from_stopped.flatten()
        states = (
            where_rows(chosen, _rows(new, rows), _rows(old, rows))
            for old, new in zip(ended[3:], stopped[3:])
        )
        return _Hypotheses(scores, keys.gather(1, best), nodes.gather(1, best), *states)

    def _emit(self, going: _Hypotheses, log_probs, tree: LabelTree) -> _Hypotheses:
        """The best K continuations with a label."""
        vocabulary = log_probs.size(2)
        labels_only = log_probs.clone()
        labels_only[:, :, self.decoder.blank_id] = DEAD
        total = (going.scores.unsqueeze(2) + labels_only).flatten(1)
        scores, best = total.topk(self.beam_size, dim=1)
        origins = torch.div(best, vocabulary, rounding_mode="floor")
        labels = best - origins * vocabulary
        nodes = tree.add(going.nodes.gather(1, origins), labels)
        first_row = torch.arange(scores.size(0), device=best.device).unsqueeze(1)
        rows = (origins + first_row * self.beam_size).flatten()
        return _Hypotheses(
            scores,
            extend_keys(going.keys.gather(1, origins), labels),
            nodes,
            self.decoder.search_advance(going.decoder, rows, labels.flatten()),
            self.fused.advance(going.scorers, rows, labels.flatten()),
        )


def _rows(state: State, rows_N: torch.Tensor) -> State:
    return map_state(state, lambda x: x.index_select(0, rows_N.to(x.device)))


@torch.no_grad()
def rnnt_greedy(
    decoder: SearchDecoder,
    am_BTR: torch.Tensor,
    lengths_B: torch.Tensor,
    max_symbols: int = 10,
    bos: str = "run",
) -> List[GreedyResult]:
    """The best symbol at each step; after ``max_symbols`` labels a frame is left.

    The score is that of the path, without the blanks that are not taken at a forced
    change of frame.
    """
    batch, _, size = am_BTR.shape
    device = am_BTR.device
    lengths_B = lengths_B.to(device)
    window_W = torch.arange(WINDOW, device=device)
    am_BTR = torch.nn.functional.pad(am_BTR, (0, 0, 0, WINDOW))
    state = decoder.search_start(batch, bos)
    place_B = torch.zeros(batch, dtype=torch.long, device=device)
    count_B = torch.zeros_like(place_B)  # labels emitted at this frame
    scores_B = torch.zeros(batch, dtype=torch.float64, device=device)
    rows_B = torch.arange(batch, device=device)
    emitted: List[torch.Tensor] = []
    while bool((place_B < lengths_B).any()):
        frames_BW = place_B.unsqueeze(1) + window_W
        inside_BW = frames_BW < lengths_B.unsqueeze(1)
        index = frames_BW.clamp(max=am_BTR.size(1) - 1)
        looked_at = am_BTR.gather(1, index.unsqueeze(2).expand(-1, -1, size))
        again = map_state(state, lambda x: x.repeat_interleave(WINDOW, dim=0))
        log_probs, _ = decoder.search_scores(looked_at.flatten(0, 1), again)
        best, symbols = (x.view(batch, WINDOW) for x in log_probs.max(dim=1))
        is_label_BW = (symbols != decoder.blank_id) & inside_BW
        found_B = is_label_BW.any(dim=1)
        first_B = torch.where(found_B, is_label_BW.int().argmax(dim=1), WINDOW)
        # blanks before it, and the label itself
        taken_BW = (window_W <= first_B.unsqueeze(1)) & inside_BW
        scores_B += torch.where(taken_BW, best, 0.0).double().sum(dim=1)
        label_B = symbols.gather(1, first_B.clamp(max=WINDOW - 1).unsqueeze(1))[:, 0]
        label_B = torch.where(found_B, label_B, decoder.blank_id)
        emitted.append(label_B)
        state = decoder.search_advance(state, rows_B, label_B)
        count_B = torch.where(first_B == 0, count_B, 0) + found_B.long()
        full_B = found_B & (count_B >= max_symbols)
        place_B = torch.minimum(place_B + first_B + full_B.long(), lengths_B)
        count_B = torch.where(full_B | ~found_B, 0, count_B)
    labels: List[List[int]] = [[] for _ in range(batch)]
    for symbols_B in emitted:
        for row, symbol in enumerate(symbols_B.tolist()):
            if symbol != decoder.blank_id:
                labels[row].append(symbol)
    return [GreedyResult(*pair) for pair in zip(labels, scores_B.tolist())]
