"""Pure CTC model (``ctc_conformer``, ``ctc_start``) as an ESPnet ASR model.

Source: reference/models.md (f).
"""

# Dimensions: B batch, T encoder frames, L labels, D encoder, V vocabulary
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.loss.aux_ctc import ctc_nll
from espnet_ext.asr.loss.smoothing import smooth_gradient
from espnet_ext.layers.init import init_linear_


class CtcModel(EncoderModel):
    """Linear layer on the encoder output with CTC, and auxiliary CTC below.

    ESPnet's own searches decode it with ``ctc_weight: 1.0``. A decoder in the
    configuration is not used.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        ctc_weight: Scale of the loss.
        label_smoothing: By gradient, of ``ls`` (all outputs) or ``lsx`` (all but blank);
            see SmoothingSchedule.
    """

    def __init__(
        self,
        *,
        ctc,
        decoder=None,
        joint_network=None,
        ctc_weight: float = 1.0,
        label_smoothing: Optional[Dict] = None,
        **kwargs,
    ):
        if ctc_weight <= 0.0:
            raise ValueError(f"ctc_weight {ctc_weight}: expected more than 0")
        super().__init__(
            ctc=ctc, decoder=None, joint_network=None, ctc_weight=1.0, **kwargs
        )
        self.criterion_att = None
        self.loss_scale = ctc_weight
        self.smoothing = smoothing_schedule(label_smoothing or {})
        if self.smoothing.apply != "gradient" or self.smoothing.over == "labels":
            raise ValueError(
                "label_smoothing of a CTC model: expected type ls or lsx, applied to "
                "the gradient"
            )
        self.check_start(self.ctc_heads is not None)
        init_linear_(self.ctc.ctc_lo)
        self.initialise_frame_weights()

    def top_nll(
        self, frames_BTD, frame_lens_B, labels_BL, label_lens_B
    ) -> torch.Tensor:
        """CTC loss [B] of the output layer."""
        logits_BTV = self.ctc.ctc_lo(frames_BTD)
        labels_BL = labels_BL.clamp(min=0)
        smoothing = self.smoothing_now(self.smoothing)
        if smoothing:
            excluded = self.blank_id if smoothing.type == "lsx" else None
            logits_BTV = smooth_gradient(
                logits_BTV.log_softmax(-1), smoothing.scale, excluded=excluded
            )
        return ctc_nll(logits_BTV, labels_BL, frame_lens_B, label_lens_B, self.blank_id)

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Loss, statistics and batch size; arguments as TransducerModel."""
        batch = speech.size(0)
        labels_BL = text[:, : int(text_lengths.max())] if batch else text
        frames_BTD, lengths_B, outputs = self.encode_with_heads(speech, speech_lengths)
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms = []
        if self.main_loss_is_active():
            nll_B = self.top_nll(frames_BTD, lengths_B, labels_BL, text_lengths)
            stats["loss_ctc"] = nll_B.detach().mean()
            terms.append(self.loss_scale * nll_B.sum())
        self.add_aux_ctc(terms, stats, outputs, lengths_B, labels_BL, text_lengths)
        return self.result(terms, stats, batch)
