"""Attention encoder-decoder (``att_*``) as an ESPnet ASR model.

Source: reference/models.md (g); reference/losses.md 6, 9.
"""

# Dimensions: B batch, T encoder frames, L labels, U = L + 1 positions, K labels
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.loss.smoothing import smooth_gradient, smoothed_cross_entropy


class AttentionModel(EncoderModel):
    """Cross entropy over labels and the end, teacher forcing, auxiliary CTC below.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        label_smoothing: As TransducerModel's, and ``apply`` to the ``target``
            (``ls01``) or to the ``gradient`` (``ls01g``: the value of the loss is not
            smoothed).
        ctc_weight: Scale of a CTC loss on the encoder output, beside the cross entropy;
            0 builds no such layer.
    """

    def __init__(
        self,
        *,
        decoder,
        ctc,
        joint_network=None,
        label_smoothing: Optional[Dict] = None,
        ctc_weight: float = 0.0,
        **kwargs,
    ):
        super().__init__(
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            ctc_weight=ctc_weight,
            **kwargs,
        )
        self.criterion_att = None
        self.check_start(ctc_weight > 0.0 or self.ctc_heads is not None)
        self.smoothing = smoothing_schedule(label_smoothing or {})
        self.initialise_frame_weights()

    def frame_parts(self) -> Dict[str, int]:
        """See EncoderModel."""
        names = ("key", "fertility")
        return {
            **super().frame_parts(),
            **{f"decoder.{name}.weight": 1 for name in names},
        }

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """See EncoderModel; a frame is also the last part of two concatenated inputs."""
        masks = super().used_entries()
        if not hasattr(self.encoder, "used_entries"):
            return masks
        parameters = dict(self.named_parameters())
        used = self.encoder.frame_axis().index(self.encoder.stage.sizes())
        for name in ("decoder.lstm.weight_ih", "decoder.readout.weight"):
            mask = torch.ones(parameters[name].shape, dtype=torch.bool)
            others = mask.size(1) - self.encoder.output_size()
            mask[:, others:] = False
            mask[:, others + used] = True
            masks[name] = mask
        return masks

    def cross_entropy(
        self, frames_BTD, frame_lens_B, labels_BL, label_lens_B
    ) -> torch.Tensor:
        """Cost of each position [B, U]; 0 after the end symbol."""
        labels_BL = labels_BL.clamp(min=0)
        sos_B1 = torch.full_like(labels_BL[:, :1], self.sos)
        if labels_BL.size(1) == 0:
            sos_B1 = label_lens_B.new_full((len(label_lens_B), 1), self.sos)
        inputs_BU = torch.cat([sos_B1, labels_BL], dim=1)
        logits_BUK = self.decoder.label_logits(frames_BTD, frame_lens_B, inputs_BU)
        positions_U = torch.arange(inputs_BU.size(1), device=inputs_BU.device)
        lengths_B1 = label_lens_B.to(inputs_BU.device).unsqueeze(1)
        targets_BU = torch.nn.functional.pad(labels_BL, (0, 1))
        targets_BU = torch.where(positions_U == lengths_B1, self.eos, targets_BU)
        # the output has no blank: id 1 is its first class; -1 marks padding
        targets_BU = (targets_BU - 1).masked_fill(positions_U > lengths_B1, -1)
        scale = self.smoothing_now(self.smoothing).scale
        rows = logits_BUK.flatten(0, 1)
        if self.smoothing.apply == "gradient" and scale > 0.0:
            rows = smooth_gradient(rows.log_softmax(1), scale)
            cost = torch.nn.functional.nll_loss(
                rows, targets_BU.flatten(), ignore_index=-1, reduction="none"
            )
        else:
            cost = smoothed_cross_entropy(rows, targets_BU.flatten(), scale, -1)
        return cost.view(targets_BU.shape)

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
        text_B = labels_BL, text_lengths
        if self.main_loss_is_active():
            cost_BU = self.cross_entropy(frames_BTD, lengths_B, *text_B)
            positions = (text_lengths + 1).sum()
            stats["loss_att"] = cost_BU.detach().sum() / batch
            stats["loss_per_label"] = cost_BU.detach().sum() / positions
            terms.append(cost_BU.sum())
        self.add_top_ctc(terms, stats, frames_BTD, lengths_B, *text_B)
        self.add_aux_ctc(terms, stats, outputs, lengths_B, *text_B)
        return self.result(terms, stats, batch)
