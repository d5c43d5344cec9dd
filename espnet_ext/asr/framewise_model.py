"""Framewise (hybrid) model: the symbol of each frame, trained on given alignments.

Source: reference/models.md (i); reference/losses.md 8.
"""

# Dimensions: B batch, T encoder frames, D encoder, V symbols
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.framewise_targets import AlignedEncoding, chunk_options
from espnet_ext.asr.loss.framewise import frame_errors, softmax_framewise_cost
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.layers.init import init_linear_

AUX_OPTIONS = {"layers", "weight"}


class FramewiseModel(AlignedEncoding, EncoderModel):
    """Linear layer and softmax on the encoder output, cross entropy on an alignment.

    The targets are an item ``alignment`` of the data: for each utterance the symbol (an
    id of the token list) of every encoder frame, a Kaldi vector of ints or any other of
    ESPnet's types of int sequences. Without it there is no loss. The output layer is
    where ESPnet's CTC has its own, so that its searches decode with ``ctc_weight: 1.0``
    where the symbols are those of CTC or RNA.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        focal_factor: Exponent of the focal loss; 0 is plain cross entropy.
        label_smoothing: By gradient, of ``ls`` (all symbols) or ``lsx`` (all but
            blank); see SmoothingSchedule.
        aux_framewise: ``layers`` (numbers, from 1) that predict the same targets through
            output layers of their own, each loss with factor ``weight`` (0.3 by
            default; the original's is not known). None for none.
        chunk: ``size`` and ``hop`` of pieces in encoder frames, cut in training. A
            chunk is a sequence of its own.
        length_tolerance: Frames that an alignment may be longer or shorter than the
            encoder output.
    """

    def __init__(
        self,
        *,
        ctc,
        decoder=None,
        joint_network=None,
        focal_factor: float = 0.0,
        label_smoothing: Optional[Dict] = None,
        aux_framewise: Optional[Dict] = None,
        chunk: Optional[Dict] = None,
        length_tolerance: int = 1,
        **kwargs,
    ):
        kwargs.pop("ctc_weight", None)
        super().__init__(
            ctc=ctc, decoder=None, joint_network=None, ctc_weight=1.0, **kwargs
        )
        self.criterion_att = None
        self.focal_factor = focal_factor
        self.smoothing = smoothing_schedule(label_smoothing or {})
        if self.smoothing.apply != "gradient" or self.smoothing.over == "labels":
            raise ValueError(
                "label_smoothing of a framewise model: expected type ls or lsx, applied "
                "to the gradient"
            )
        self.chunk = chunk_options(chunk, self.encoder)
        self.length_tolerance = length_tolerance
        init_linear_(self.ctc.ctc_lo)
        self.aux_heads, self.aux_weight = None, 0.0
        if aux_framewise is not None:
            self._build_heads(aux_framewise)
        self.initialise_frame_weights()

    def _build_heads(self, options: Dict) -> None:
        unknown = sorted(set(options) - AUX_OPTIONS)
        if unknown or not options.get("layers"):
            raise ValueError(f"aux_framewise {options}: expected layers, and weight")
        self.aux_weight = options.get("weight", 0.3)
        size = self.encoder.output_size()
        self.aux_heads = torch.nn.ModuleDict(
            {
                str(number): init_linear_(torch.nn.Linear(size, self.vocab_size))
                for number in options["layers"]
            }
        )

    def frame_parts(self) -> Dict[str, int]:
        """See EncoderModel."""
        heads = self.aux_heads if self.aux_heads is not None else ()
        return {**super().frame_parts(), **{f"aux_heads.{n}.weight": 1 for n in heads}}

    def cost(
        self, logits_BTV: torch.Tensor, alignment_BT: torch.Tensor, lens_B: torch.Tensor
    ) -> torch.Tensor:
        """Cost of each frame [B, T], with focal factor and smoothing of this epoch."""
        options = GradientOptions(smoothing=self.smoothing_now(self.smoothing))
        return softmax_framewise_cost(
            logits_BTV,
            alignment_BT,
            lens_B,
            self.blank_id,
            focal_factor=self.focal_factor,
            options=options,
        )

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
        """Loss, statistics and batch size.

        Args:
            speech: Wave or features.
            speech_lengths: [B].
            text: Not used; ESPnet's data have it.
            text_lengths: Not used.
            alignment: Symbols [B, T], padded with -1.
            alignment_lengths: [B].
            kwargs: ``utt_id``, used in messages.

        Raises:
            OptionError: The batch has no alignment.
            FormatError: An alignment does not fit the encoder output.
        """
        batch = speech.size(0)
        heads = self.aux_heads if self.aux_heads is not None else {}
        layers = sorted(int(number) for number in heads)
        frames_BTD, lengths_B, outputs, targets_BT = self.encode_aligned(
            *(speech, speech_lengths, alignment, alignment_lengths),
            layers=layers,
            utterance_ids=kwargs.get("utt_id", ()),
        )
        logits_BTV = self.ctc.ctc_lo(frames_BTD)
        cost = self.cost(logits_BTV, targets_BT, lengths_B).sum()
        errors = frame_errors(logits_BTV.detach(), targets_BT, lengths_B).sum()
        count = lengths_B.sum().clamp(min=1)
        stats = {"loss_framewise": cost.detach() / count, "fer": errors / count}
        terms = [cost]
        for number, output_BTD in outputs:
            aux = self.cost(heads[str(number)](output_BTD), targets_BT, lengths_B).sum()
            stats[f"loss_framewise_{number}"] = aux.detach() / count
            terms.append(self.aux_weight * aux)
        return self.result(terms, stats, batch)
