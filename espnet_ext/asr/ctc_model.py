"""Pure CTC model (``ctc_conformer``, ``ctc_start``) as an ESPnet ASR model.

Source: reference/models.md (f).
"""

# Dimensions: B batch, T encoder frames, L labels, D encoder, V vocabulary
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.encoder_model import EncoderModel
from espnet_ext.asr.loss.aux_ctc import ctc_nll
from espnet_ext.layers.init import init_linear_


class CtcModel(EncoderModel):
    """Linear layer on the encoder output with CTC, and auxiliary CTC below.

    ESPnet's own searches decode it with ``ctc_weight: 1.0``. A decoder in the
    configuration is not used.
    """

    def __init__(self, *, ctc, decoder=None, joint_network=None, **kwargs):
        kwargs.pop("ctc_weight", None)
        super().__init__(
            ctc=ctc, decoder=None, joint_network=None, ctc_weight=1.0, **kwargs
        )
        self.criterion_att = None
        init_linear_(self.ctc.ctc_lo)

    def top_nll(
        self, frames_BTD, frame_lens_B, labels_BL, label_lens_B
    ) -> torch.Tensor:
        """CTC loss [B] of the output layer."""
        logits_BTV = self.ctc.ctc_lo(frames_BTD)
        labels_BL = labels_BL.clamp(min=0)
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
        nll_B = self.top_nll(frames_BTD, lengths_B, labels_BL, text_lengths)
        stats: Dict[str, Optional[torch.Tensor]] = {"loss_ctc": nll_B.detach().mean()}
        terms = [nll_B.sum()]
        self.add_aux_ctc(terms, stats, outputs, lengths_B, labels_BL, text_lengths)
        return self.result(terms, stats, batch)
