"""Transducer trained on given alignments: cross entropy of each frame's symbol.

Everything else, decoding included, is as in TransducerModel.

Source: reference/losses.md 8; reference/models.md, "2020 extended transducer".
"""

# Dimensions: B batch, T encoder frames, L labels, V vocabulary with blank
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.framewise_targets import AlignedEncoding, chunk_options
from espnet_ext.asr.joint.extended_readout import log_probabilities
from espnet_ext.asr.loss.frame_context import frame_context
from espnet_ext.asr.loss.framewise import (
    factorised_framewise_cost,
    frame_errors,
    softmax_framewise_cost,
)
from espnet_ext.asr.transducer_model import TransducerModel


class FramewiseTransducer(AlignedEncoding, TransducerModel):
    """Any of our transducer decoders, also those whose state depends on frames.

    The data have an item ``alignment``, as for FramewiseModel. CTC losses
    (``ctc_weight``, ``aux_ctc``) get the labels of the alignment, of the chunk in
    training (``encctc``: CTC on the bottleneck).

    Args (in addition to those of TransducerModel):
        focal_factor: Exponent of the focal loss, 2 in the original (``fl2``).
        chunk: As FramewiseModel's; ``{size: 60, hop: 30}`` in the original.
        length_tolerance: As FramewiseModel's.
    """

    trains_on_alignments = True

    def __init__(
        self,
        *,
        focal_factor: float = 2.0,
        chunk: Optional[Dict] = None,
        length_tolerance: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.topology != "rna" or self.fastemit:
            raise ValueError(
                f"topology {self.topology}, fastemit {self.fastemit}: expected rna and "
                "0 in a training on alignments"
            )
        self.focal_factor = focal_factor
        self.chunk = chunk_options(chunk, self.encoder)
        self.length_tolerance = length_tolerance

    def framewise_cost(self, frames_BTD, lengths_B, alignment_BT):
        """Cost [B, T] of each frame, and the log-probabilities [B, T, V]."""
        arguments = frames_BTD, lengths_B, alignment_BT
        logits, emission = self.decoder.alignment_logits(*arguments)
        options = {"focal_factor": self.focal_factor, "options": self.gradient_options()}
        targets = alignment_BT, lengths_B, self.blank_id
        log_probs_BTV = log_probabilities(
            logits.detach(), None if emission is None else emission.detach()
        )
        if emission is None:
            return softmax_framewise_cost(logits, *targets, **options), log_probs_BTV
        if logits.size(-1) == 0:  # a vocabulary of blank alone
            logits = torch.nn.functional.pad(logits, (0, 1))
        cost_BT = factorised_framewise_cost(logits, emission, *targets, **options)
        return cost_BT, log_probs_BTV

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        alignment: Optional[torch.Tensor] = None,
        alignment_lengths: Optional[torch.Tensor] = None,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Loss, statistics and batch size; arguments and errors as FramewiseModel."""
        batch = speech.size(0)
        frames_BTD, lengths_B, outputs, targets_BT = self.encode_aligned(
            *(speech, speech_lengths, alignment, alignment_lengths),
            layers=self.ctc_heads.layers if self.ctc_heads is not None else (),
            utterance_ids=kwargs.get("utt_id", ()),
        )
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms = []
        place = frame_context(targets_BT, lengths_B, self.blank_id)
        labels = place.labels_BL, place.label_lens_B
        self.add_top_ctc(terms, stats, frames_BTD, lengths_B, *labels)
        self.add_aux_ctc(terms, stats, outputs, lengths_B, *labels)
        if self.main_loss_is_active():
            cost_BT, log_probs_BTV = self.framewise_cost(
                frames_BTD, lengths_B, targets_BT
            )
            count = lengths_B.sum().clamp(min=1)
            stats["loss_framewise"] = cost_BT.detach().sum() / count
            errors_B = frame_errors(log_probs_BTV, targets_BT, lengths_B)
            stats["fer"] = errors_B.sum() / count
            terms.append(cost_BT.sum())
            if not self.training:
                am_BTR = self.joint_network.project_frames(frames_BTD, lengths_B)
                stats["ter"] = self._token_error_rate(am_BTR, lengths_B, *labels)
        return self.result(terms, stats, batch)
