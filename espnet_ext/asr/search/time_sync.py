"""Batched time-synchronous beam search for RNA: each frame spends one symbol.

All sequences of a batch and all their hypotheses are searched together, in tensors.
Without recombination this is the search of the 2022 experiments: entries with the same
labels but blanks in other places stay apart and crowd the beam. With recombination by
labels all paths of a label sequence that are in the beam are one entry, whose score is
their sum (or maximum); nothing is lost by it before the beam is cut. Recombination by
text is that of 2020: before each frame, entries with the same text become one.

On a CPU the result of a sequence has the same bits whatever else is in the batch.

Source: reference/recognition.md 1, 2; corrections.md 1, 3.
"""

# Dimensions: B batch, n sequences that have not ended, K hypotheses, N = n K rows,
#             T frames, R projected frame, V vocabulary with blank
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import torch

from espnet_ext.asr.search.beam import BeamEntry, Steps, entries_of
from espnet_ext.asr.search.captured import FixedFrames
from espnet_ext.asr.search.interface import (
    SearchDecoder,
    SearchScorer,
    State,
    check_bos,
    map_state,
)
from espnet_ext.asr.search.label_scorer import FusedScores, LabelScorer
from espnet_ext.asr.search.lattice import Lattice, LatticeArcs
from espnet_ext.asr.search.recombination import DEAD, merge_arcs, merge_groups
from espnet_ext.asr.search.surface import SurfaceKeys, extend_keys

RECOMBINATIONS = ("none", "sum", "max")
KEYS = ("labels", "text")
ENDS = ("all", "shorter")


class Beam(NamedTuple):
    """The hypotheses of all sequences; tensors [n, K], states of N rows."""

    scores: torch.Tensor
    keys: torch.Tensor
    parent_keys: torch.Tensor
    labels: torch.Tensor
    texts: torch.Tensor
    decoder: State
    scorers: State


class Step(NamedTuple):
    """What a frame did, each [n, K], and the arcs for a lattice."""

    origins: torch.Tensor
    symbols: torch.Tensor
    arcs: Optional[LatticeArcs]


class TimeSyncSearch:
    """Beam search through encoder frames.

    Args:
        decoder: See SearchDecoder.
        beam_size: K, number of hypotheses kept in each frame.
        recombination: ``none``, or ``sum`` / ``max`` of the paths that are the same.
        bos: ``run`` feeds BOS to the prediction network before the first frame, as in
            training. ``skip`` (the 2022 experiments) does not run it before the first
            label: its contribution is zero and it never sees BOS. The id of a label
            (2020: the first one): that label is fed in the place of BOS.
        scorers: Language models with their weights (shallow fusion); their scores are
            added where a label is emitted. Those of weight 0 are left out.
        recombine_by: ``labels``, or ``text`` (2020): word pieces joined at ``@@``.
        recombine_at_end: By text, once more after the last frame: ``all``, or only
            sequences ``shorter`` than the longest of the batch (2020).
        token_list: Word pieces by id, needed for ``text``.
        padded_step: Sequences shorter than the longest make one more step, on the first
            padded frame (2022); the result then depends on the batch.
        length_normalization: Scores are divided by the number of frames (2020).
        captured: On a GPU a frame is one captured graph (see captured.py), made anew
            for each call.
    """

    def __init__(
        self,
        decoder: SearchDecoder,
        beam_size: int = 12,
        recombination: str = "sum",
        bos: Union[str, int] = "run",
        scorers: Sequence[Tuple[Union[SearchScorer, LabelScorer], float]] = (),
        recombine_by: str = "labels",
        recombine_at_end: str = "all",
        token_list: Optional[Sequence[str]] = None,
        padded_step: bool = False,
        length_normalization: bool = False,
        captured: bool = False,
    ):
        if beam_size < 1:
            raise ValueError(f"beam_size {beam_size}: expected at least 1")
        for name, value, known in (
            ("recombination", recombination, RECOMBINATIONS),
            ("recombine_by", recombine_by, KEYS),
            ("recombine_at_end", recombine_at_end, ENDS),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r}: expected one of {known}")
        check_bos(bos, decoder.vocab_size)
        self.surface = None
        if recombine_by == "text" and recombination != "none":
            if token_list is None:
                raise ValueError("recombine_by 'text': expected a token_list")
            self.surface = SurfaceKeys(token_list, decoder.blank_id)
        self.decoder = decoder
        self.beam_size = beam_size
        self.recombination = recombination
        self.bos = bos
        self.fused = FusedScores(scorers, decoder.blank_id)
        self.recombine_at_end = recombine_at_end
        self.padded_step = padded_step
        self.length_normalization = length_normalization
        self.captured = captured
        if captured and self.fused.needs_host:
            raise ValueError("captured: not with language models that run in Python")

    @torch.no_grad()
    def __call__(
        self, am_BTR: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[BeamEntry]]:
        """Search through projected frames [B, T, R] of which lengths [B] are valid.

        Returns:
            For each sequence at most K entries, best first. Scores are
            log-probabilities summed over frames (without length normalisation), plus
            the weighted scores of the language models.
        """
        return self._search(am_BTR, lengths_B, False)[0]

    @torch.no_grad()
    def lattices(self, am_BTR: torch.Tensor, lengths_B: torch.Tensor) -> List[Lattice]:
        """All arcs between entries of the beams, for each sequence."""
        return self._search(am_BTR, lengths_B, True)[1]

    def _search(self, am_BTR, lengths_B, with_arcs: bool):
        order = torch.argsort(lengths_B.cpu(), descending=True, stable=True)
        own = lengths_B.cpu()[order].tolist()
        longest = max(own, default=0)
        lengths = own
        if self.padded_step:
            lengths = [min(length + 1, longest) for length in own]
        am_BTR = am_BTR.index_select(0, order.to(am_BTR.device))
        beam = self.start(len(own), am_BTR.device)
        steps = Steps(len(own), self.beam_size, lengths)
        final_BK = beam.scores.clone()
        texts_BK = beam.texts.clone()
        arcs, running, fixed = [], len(own), None
        if self.captured and longest and not with_arcs:
            fixed = FixedFrames(self, beam, am_BTR[:, 0])
        for t in range(max(lengths, default=0)):
            while lengths[running - 1] <= t:
                running -= 1
            if fixed is not None:
                step, beam = fixed(am_BTR[:, t]), fixed.beam
            else:
                beam = self._first(beam, running)
                beam, step = self.frame(beam, am_BTR[:running, t], with_arcs)
            steps.add(step.origins[:running], step.symbols[:running])
            arcs.append(step.arcs)
            final_BK[:running] = beam.scores[:running]
            texts_BK[:running] = beam.texts[:running]
        own_B1 = final_BK.new_tensor(own).clamp(min=1).unsqueeze(1)
        if self.surface is not None:
            final_BK = self._recombine_at_end(final_BK, texts_BK, own_B1, longest)
        if self.length_normalization:
            final_BK = final_BK / own_B1
        back = torch.argsort(order)
        if with_arcs:
            made = Lattice.of_batch(arcs, lengths, self.beam_size)
            return None, [made[i] for i in back.tolist()]
        final_BK, places_BK = final_BK.sort(dim=1, descending=True, stable=True)
        paths_BKT = steps.paths(places_BK.cpu())
        found = entries_of(paths_BKT, final_BK, self.decoder.blank_id)
        return [found[i] for i in back.tolist()], None

    def _recombine_at_end(self, scores_BK, texts_BK, lengths_B1, longest):
        if self.recombine_at_end == "all":
            return merge_groups(texts_BK, scores_BK, self.recombination)
        scale_B1 = torch.ones_like(lengths_B1)
        if self.length_normalization:
            # one step after the end, the original keeps the quotient of score and step
            scale_B1 = (lengths_B1 + 1) / lengths_B1
        merged_BK = merge_groups(texts_BK, scores_BK * scale_B1, self.recombination)
        return torch.where(lengths_B1 < longest, merged_BK / scale_B1, scores_BK)

    def start(self, batch: int, device: torch.device) -> Beam:
        """Beams before the first frame: the empty hypothesis and empty places."""
        size = self.beam_size
        scores = torch.full((batch, size), DEAD, dtype=torch.float64, device=device)
        scores[:, 0] = 0.0
        zeros = torch.zeros(batch, size, dtype=torch.long, device=device)
        return Beam(
            scores,
            zeros,
            zeros - 1,  # not the key of any sequence that can be there
            zeros,
            zeros,
            self.decoder.search_start(batch * size, self.bos),
            self.fused.start(batch * size),
        )

    def _first(self, beam: Beam, count: int) -> Beam:
        """The beams of the first sequences, when the others have ended."""
        if count == beam.scores.size(0):
            return beam
        rows = count * self.beam_size
        tensors = (x[:count] for x in beam[:5])
        return Beam(*tensors, *(map_state(x, lambda y: y[:rows]) for x in beam[5:]))

    def frame(
        self, beam: Beam, frames_nR: torch.Tensor, with_arcs: bool = False
    ) -> Tuple[Beam, Step]:
        """One step of all beams; all shapes are known beforehand."""
        blank, size = self.decoder.blank_id, self.beam_size
        scores = beam.scores
        if self.surface is not None:
            scores = merge_groups(beam.texts, scores, self.recombination)
        log_probs, state = self.decoder.search_scores(frames_nR, beam.decoder)
        log_probs = self.fused.add(log_probs, beam.scorers)
        vocabulary = log_probs.size(1)
        log_probs = log_probs.view(-1, size, vocabulary)
        # single precision is enough to compare what is relative to the best
        top = scores.amax(dim=1, keepdim=True)
        candidates = log_probs + (scores - top).to(log_probs.dtype).unsqueeze(2)
        merged = None
        if self.recombination != "none" and self.surface is None:
            merged = merge_arcs(
                beam.keys,
                beam.parent_keys,
                beam.labels,
                scores,
                log_probs,
                blank,
                self.recombination,
            )
            stays = candidates[:, :, blank].clone()
            place = torch.arange(size, device=scores.device) * vocabulary + blank
            moved = torch.where(
                merged.found, merged.source * vocabulary + beam.labels, place
            )
            candidates.flatten(1).scatter_(1, moved, DEAD)
            joined = (merged.score - top).to(candidates.dtype)
            candidates[:, :, blank] = torch.where(merged.found, joined, stays)
        value, best = candidates.flatten(1).topk(size, dim=1)
        origins = torch.div(best, vocabulary, rounding_mode="floor")
        symbols = best - origins * vocabulary
        return self._extend(
            beam._replace(decoder=state, scores=scores),
            (origins, symbols, value > DEAD),
            log_probs,
            merged,
            with_arcs,
        )

    def _extend(self, beam, chosen, log_probs, merged, with_arcs):
        blank, size = self.decoder.blank_id, self.beam_size
        origins, symbols, alive = chosen

        def of_origin(x):
            return x.gather(1, origins)

        arc = log_probs.flatten(1).gather(1, origins * log_probs.size(2) + symbols)
        scores = of_origin(beam.scores) + arc
        emits = symbols != blank
        path_origins, path_symbols, other = origins, symbols, None
        if merged is not None:
            joined = ~emits & of_origin(merged.found)
            scores = torch.where(joined, of_origin(merged.score), scores)
            source, label = of_origin(merged.source), of_origin(beam.labels)
            moves = joined & of_origin(merged.extends_better)
            path_origins = torch.where(moves, source, origins)
            path_symbols = torch.where(moves, label, symbols)
            other = joined, source, label
        arcs = None
        if with_arcs:
            arcs = LatticeArcs.of_step(origins, symbols, arc, alive, other, log_probs)
        previous = of_origin(beam.keys)
        keys = torch.where(emits, extend_keys(previous, symbols), previous)
        texts = of_origin(beam.texts)
        if self.surface is not None:
            texts = self.surface.extend(texts, symbols)
        first_row = torch.arange(origins.size(0), device=origins.device) * size
        rows = (origins + first_row.unsqueeze(1)).flatten()
        state_rows, state_symbols = rows, symbols.flatten()
        if self.decoder.frame_dependent:
            state_rows = (path_origins + first_row.unsqueeze(1)).flatten()
            state_symbols = path_symbols.flatten()
        return (
            Beam(
                torch.where(alive, scores, DEAD),
                keys,
                torch.where(emits, previous, of_origin(beam.parent_keys)),
                torch.where(emits, symbols, of_origin(beam.labels)),
                texts,
                self.decoder.search_advance(beam.decoder, state_rows, state_symbols),
                self.fused.advance(beam.scorers, rows, symbols.flatten()),
            ),
            Step(path_origins, path_symbols, arcs),
        )
