"""Time-synchronous beam search for RNA: every hypothesis spends one symbol a frame.

Without recombination this is the search of the 2022 experiments: entries with the same
labels but blanks in other places stay apart and crowd the beam. With recombination all
paths of a label sequence that are in the beam are one entry, whose score is their sum
(or maximum).

Source: reference/recognition.md 1; corrections.md 1.
"""

# Dimensions: N hypotheses in the beam, R readout, V vocabulary
from typing import Dict, List, NamedTuple, Sequence, Tuple

import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.search.label_scorer import FusedBeam, LabelScorer

RECOMBINATIONS = ("none", "sum", "max")
BOS_MODES = ("run", "skip")


class BeamEntry(NamedTuple):
    """One result: log score, labels, and the symbol of each frame (with blanks).

    With recombination ``symbols`` is the best-scoring path of the merged ones.
    """

    score: float
    labels: List[int]
    symbols: List[int]


class _Prefixes:
    """Numbers label sequences: the same sequence always gets the same number."""

    def __init__(self):
        self.parent: List[int] = [-1]
        self.label: List[int] = [-1]
        self._children: Dict[Tuple[int, int], int] = {}

    def extend(self, prefix: int, label: int) -> int:
        key = (prefix, label)
        if key not in self._children:
            self._children[key] = len(self.parent)
            self.parent.append(prefix)
            self.label.append(label)
        return self._children[key]


class TimeSyncSearch:
    """Beam search over encoder frames of one utterance.

    Args:
        decoder: Prediction network with its joint.
        beam_size: Number of hypotheses kept in each frame.
        recombination: ``none``, or ``sum`` / ``max`` of the paths of a label sequence.
        bos: ``run`` feeds BOS to the prediction network before the first frame, as in
            training. ``skip`` (the 2022 experiments) does not run it before the first
            label: its contribution is zero and it never sees BOS.
        scorers: Language models with their weights (shallow fusion); their scores are
            added where a label is emitted. Those of weight 0 are left out.
    """

    def __init__(
        self,
        decoder: LstmTransducerDecoder,
        beam_size: int = 12,
        recombination: str = "sum",
        bos: str = "run",
        scorers: Sequence[Tuple[LabelScorer, float]] = (),
    ):
        if beam_size < 1:
            raise ValueError(f"beam_size {beam_size}: expected at least 1")
        if recombination not in RECOMBINATIONS:
            raise ValueError(
                f"recombination {recombination!r}: expected one of {RECOMBINATIONS}"
            )
        if bos not in BOS_MODES:
            raise ValueError(f"bos {bos!r}: expected one of {BOS_MODES}")
        self.decoder = decoder
        self.beam_size = beam_size
        self.recombination = recombination
        self.bos = bos
        self.scorers = [(scorer, weight) for scorer, weight in scorers if weight]

    def _start(self, am_TR: torch.Tensor):
        if self.bos == "run":
            blank = am_TR.new_full((1, 1), self.decoder.blank_id, dtype=torch.long)
            lm_N1R, state = self.decoder.run(blank)
            return lm_N1R[:, 0], state
        return am_TR.new_zeros(1, am_TR.size(1)), self.decoder.init_state(1)

    def _merge(
        self, candidates_NV: torch.Tensor, beam: List[int], prefixes: _Prefixes
    ) -> List[int]:
        """Add the arc that extends one entry into another to the latter's blank arc.

        Entries are distinct label sequences, so sequences can only meet there: in
        (entry i, label k) and (entry j, blank) with labels(j) = labels(i) + k.

        Returns:
            For each entry, the entry from which the better of the merged paths comes.
        """
        blank = self.decoder.blank_id
        row_of = {prefix: row for row, prefix in enumerate(beam)}
        origin = list(range(len(beam)))
        for row, prefix in enumerate(beam):
            source = row_of.get(prefixes.parent[prefix])
            if source is None:
                continue
            label = prefixes.label[prefix]
            stay, extend = candidates_NV[row, blank], candidates_NV[source, label]
            if extend > stay:
                origin[row] = source
            candidates_NV[row, blank] = (
                torch.logaddexp(stay, extend)
                if self.recombination == "sum"
                else torch.maximum(stay, extend)
            )
            candidates_NV[source, label] = float("-inf")
        return origin

    @torch.no_grad()
    def __call__(self, am_TR: torch.Tensor) -> List[BeamEntry]:
        """Search through the projected frames [T, R] of one utterance.

        Returns:
            At most ``beam_size`` entries, best first. Scores are log-probabilities
            summed over frames, without length normalisation, plus the weighted scores
            of the language models.
        """
        decoder, blank = self.decoder, self.decoder.blank_id
        prefixes = _Prefixes()
        beam = [0]
        scores_N = am_TR.new_zeros(1, dtype=torch.float64)
        lm_NR, state = self._start(am_TR)
        fused = None
        if self.scorers:
            fused = FusedBeam(self.scorers, blank, scores_N)
        back_pointers: List[List[Tuple[int, int]]] = []
        for am_R in am_TR:
            log_probs_NV = decoder.joint_network(am_R.unsqueeze(0), lm_NR)
            candidates_NV = scores_N.unsqueeze(1) + log_probs_NV.double()
            if fused is not None:
                candidates_NV += fused.scores()
            origin = list(range(len(beam)))
            if self.recombination != "none":
                origin = self._merge(candidates_NV, beam, prefixes)
            count = int(torch.isfinite(candidates_NV).sum())
            scores_N, best = candidates_NV.flatten().topk(min(self.beam_size, count))
            rows = torch.div(best, candidates_NV.size(1), rounding_mode="floor")
            symbols = (best % candidates_NV.size(1)).tolist()
            pointers, new_beam = [], []
            for row, symbol in zip(rows.tolist(), symbols):
                if symbol != blank:
                    pointers.append((row, symbol))
                    new_beam.append(prefixes.extend(beam[row], symbol))
                else:
                    moved = origin[row] != row
                    label = prefixes.label[beam[row]] if moved else blank
                    pointers.append((origin[row], label))
                    new_beam.append(beam[row])
            back_pointers.append(pointers)
            beam = new_beam
            if fused is not None:
                fused.advance(beam, prefixes.parent, prefixes.label)
            lm_NR, state = self._advance(lm_NR, state, rows, symbols)
        return self._results(scores_N.tolist(), beam, prefixes, back_pointers)

    def _advance(self, lm_NR, state, rows_N, symbols):
        """Select the surviving rows and step those that emitted a label."""
        lm_NR = lm_NR[rows_N]
        state = (state[0][:, rows_N], state[1][:, rows_N])
        emitted = [
            i for i, symbol in enumerate(symbols) if symbol != self.decoder.blank_id
        ]
        if emitted:
            index = torch.tensor(emitted, device=lm_NR.device)
            labels = torch.tensor([symbols[i] for i in emitted], device=lm_NR.device)
            new_lm, new_state = self.decoder.run(
                labels.unsqueeze(1), (state[0][:, index], state[1][:, index])
            )
            lm_NR = lm_NR.index_copy(0, index, new_lm[:, 0])
            state = tuple(
                old.index_copy(1, index, new) for old, new in zip(state, new_state)
            )
        return lm_NR, state

    def _results(self, scores, beam, prefixes, back_pointers) -> List[BeamEntry]:
        entries = []
        for row, (score, prefix) in enumerate(zip(scores, beam)):
            labels = []
            while prefix > 0:
                labels.append(prefixes.label[prefix])
                prefix = prefixes.parent[prefix]
            symbols, current = [], row
            for pointers in reversed(back_pointers):
                current, symbol = pointers[current]
                symbols.append(symbol)
            entries.append(BeamEntry(score, labels[::-1], symbols[::-1]))
        return entries
