"""Batched label-synchronous beam search for attention encoder-decoders.

A hypothesis ends with <sos/eos>, whose score it keeps; finished hypotheses stay in the
beam and compete with their total score, unnormalised. Where the length limit ends the
search, unfinished hypotheses compete with their score without the end.

With a CTC weight w the score of a hypothesis is

    (1 - w) log p_attention(labels, end) + w log p_ctc(labels),

where, before the end, p_ctc is the probability that the labels are a prefix.

Source: reference/recognition.md 1 "AED"; corrections.md 5. Ref: Watanabe et al. 2017,
Hybrid CTC/attention architecture for end-to-end speech recognition.
"""

# Dimensions: B batch, K hypotheses, N = B K rows, T frames, D encoder, V vocabulary
from typing import List, Optional

import torch

from espnet_ext.asr.search.beam import BeamEntry, Steps, entries_of
from espnet_ext.asr.search.ctc_prefix import CtcPrefixScores
from espnet_ext.asr.search.interface import select_rows
from espnet_ext.asr.search.label_scorer import FusedScores
from espnet_ext.asr.search.recombination import DEAD

LENGTH_LIMITS = ("own", "batch")


class AttentionSearch:
    """Beam search over labels.

    Args:
        decoder: With ``search_frames``, ``search_start``, ``search_step`` (see
            MlpAttentionDecoder); its last id begins and ends.
        beam_size: K.
        max_length_ratio: At most this many labels (with the end) a frame.
        length_limit: Frames of the sequence itself (``own``) or of the longest of the
            ``batch`` (the original; results then depend on the batch).
        ctc: Function from encoder output [B, T, D] to log-probabilities [B, T, V] with
            blank first, or None.
        ctc_weight: w.
        scorers: Language models with weights, as in TimeSyncSearch; they score the end.
    """

    def __init__(
        self,
        decoder,
        beam_size: int = 12,
        max_length_ratio: float = 2.0,
        length_limit: str = "own",
        ctc=None,
        ctc_weight: float = 0.0,
        scorers=(),
    ):
        if beam_size < 1:
            raise ValueError(f"beam_size {beam_size}: expected at least 1")
        if length_limit not in LENGTH_LIMITS:
            raise ValueError(
                f"length_limit {length_limit!r}: expected one of {LENGTH_LIMITS}"
            )
        if not 0.0 <= ctc_weight <= 1.0 or (ctc_weight and ctc is None):
            raise ValueError(f"ctc_weight {ctc_weight}: expected 0 to 1, and a CTC")
        self.decoder = decoder
        self.beam_size = beam_size
        self.max_length_ratio = max_length_ratio
        self.length_limit = length_limit
        self.ctc, self.ctc_weight = ctc, ctc_weight
        self.fused = FusedScores(scorers, blank_id=0)

    @torch.no_grad()
    def __call__(
        self, frames_BTD: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[BeamEntry]]:
        """N-best lists, best first; ``symbols`` of an entry contain the end."""
        batch, size, device = frames_BTD.size(0), self.beam_size, frames_BTD.device
        end = self.decoder.sos
        frames = self.decoder.search_frames(frames_BTD, lengths_B, size)
        state = self.decoder.search_start(frames)
        fused = self.fused.start(batch * size)
        labels_N = torch.full((batch * size,), end, device=device)
        prefix = self._ctc_prefix(frames_BTD, lengths_B)
        scores_BK = torch.full((batch, size), DEAD, dtype=torch.float64, device=device)
        scores_BK[:, 0] = 0.0
        # parts of the score: a finished entry's is final
        main_BK, ended_BK = scores_BK.clone(), torch.zeros_like(scores_BK).bool()
        limits_B = self._limits(lengths_B).to(device)
        steps = Steps(batch, size)
        first_row = torch.arange(batch, device=device).unsqueeze(1) * size
        for number in range(int(limits_B.max()) if batch else 0):
            log_probs_NV, state = self.decoder.search_step(frames, labels_N, state)
            if self.ctc_weight:
                impossible = log_probs_NV == DEAD  # blank: 0 times -inf is not -inf
                log_probs_NV = (1 - self.ctc_weight) * log_probs_NV
                log_probs_NV = log_probs_NV.masked_fill(impossible, DEAD)
            log_probs_NV = self.fused.add(log_probs_NV, fused)
            vocabulary = log_probs_NV.size(1)
            main = main_BK.unsqueeze(2) + log_probs_NV.view(batch, size, vocabulary)
            total = main
            if prefix is not None:
                total = main + self.ctc_weight * prefix.scores(end)
            running_BK = ~ended_BK & (number < limits_B).unsqueeze(1)
            # an entry that does not go on has one continuation, which costs nothing
            stays = torch.full_like(total, DEAD)
            stays[:, :, end] = scores_BK
            total = torch.where(running_BK.unsqueeze(2), total, stays)
            scores_BK, best = total.flatten(1).topk(size, dim=1)
            origins = torch.div(best, vocabulary, rounding_mode="floor")
            symbols = best - origins * vocabulary
            went_on = running_BK.gather(1, origins)
            steps.add(origins, torch.where(went_on, symbols, -1))
            main_BK = main.flatten(1).gather(1, best)
            ended_BK = ended_BK.gather(1, origins) | (went_on & (symbols == end))
            if bool((ended_BK | (scores_BK == DEAD)).all()):
                break
            rows_N = (origins + first_row).flatten()
            labels_N = symbols.flatten()
            state = select_rows(state, rows_N)
            fused = self.fused.advance(fused, rows_N, labels_N)
            if prefix is not None:
                prefix.advance(rows_N, labels_N)
        return self._results(steps, scores_BK, end)

    def _limits(self, lengths_B: torch.Tensor) -> torch.Tensor:
        limits_B = (lengths_B.cpu() * self.max_length_ratio).long()
        if self.length_limit == "batch" and limits_B.numel():
            limits_B = torch.full_like(limits_B, int(limits_B.max()))
        return limits_B

    def _ctc_prefix(self, frames_BTD, lengths_B) -> Optional[CtcPrefixScores]:
        if not self.ctc_weight:
            return None
        return CtcPrefixScores(self.ctc(frames_BTD), lengths_B, self.beam_size)

    @staticmethod
    def _results(steps: Steps, scores_BK, end: int) -> List[List[BeamEntry]]:
        found = entries_of(steps.paths(), scores_BK, blank=0)
        return [
            [
                entry._replace(labels=[k for k in entry.labels if k != end])
                for entry in x
            ]
            for x in found
        ]
