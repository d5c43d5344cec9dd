"""Transducer with full-sum training as an ESPnet ASR model.

Differs from ``espnet2.asr.espnet_model.ESPnetASRModel``: the joint network belongs to
the decoder, the loss is an exact full sum over RNA alignments with the factorised
output distribution, and no external loss package is needed.
"""

# Dimensions: B batch, T encoder frames, L labels, D encoder, R readout, V vocabulary
from typing import Dict, Optional, Tuple

import torch
from rapidfuzz.distance import Levenshtein

from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.loss import (
    factorised_loss,
    full_sum_loss,
    get_topology,
    softmax_loss,
)
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.rnnt import rnnt_greedy

LOSS_BACKENDS = ("fused", "torch")
GREEDY = {"rna": greedy_search, "rnnt": rnnt_greedy}


class TransducerModel(EncoderModel):
    """RNA transducer, with CTC auxiliary losses on the encoder.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        ctc_weight: Scale of a CTC loss on the encoder output; 0 builds no such layer.
        label_smoothing: Options of SmoothingSchedule; ``type`` (``ls``, ``lsx``,
            ``lsxx``) may stand for its ``over`` and ``scale`` for ``amount``. None for
            no smoothing.
        topology: ``rna`` (each label takes a frame, original) or ``rnnt`` (labels take
            none, a blank ends each frame).
        fastemit: lambda of FastEmit, see GradientOptions.
        loss_backend: ``fused``, which never stores the scores of the lattice, or
            ``torch``, which does. The numbers are the same but for rounding, and with
            elementwise dropout but for the draw of the masks.

    A sequence with more labels than encoder frames has no alignment. It contributes
    nothing to the loss and is named in the log.
    """

    score_name = "loss_transducer"  # of the main loss among the reported values

    def __init__(
        self,
        *,
        decoder,
        ctc,
        joint_network=None,
        ctc_weight: float = 0.0,
        label_smoothing: Optional[Dict] = None,
        fastemit: float = 0.0,
        loss_backend: str = "fused",
        topology: str = "rna",
        **kwargs,
    ):
        if loss_backend not in LOSS_BACKENDS:
            raise ValueError(
                f"loss_backend {loss_backend!r}: expected one of {LOSS_BACKENDS}"
            )
        if topology not in GREEDY:
            raise ValueError(f"topology {topology!r}: expected one of {tuple(GREEDY)}")
        if decoder.frame_dependent:
            raise ValueError(
                f"{type(decoder).__name__} depends on frames and blanks, so there is "
                "no full sum over alignments: expected model framewise_transducer"
            )
        # joint_network=None keeps ESPnet from importing warprnnt_pytorch; for the same
        # reason the flag that selects transducer search is set afterwards. The base
        # class would build criteria of an attention decoder for ctc_weight < 1.
        super().__init__(
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            ctc_weight=ctc_weight,
            **kwargs,
        )
        self.criterion_att = None
        self.use_transducer_decoder = True
        self.check_start(ctc_weight > 0.0 or self.ctc_heads is not None)
        self.smoothing = smoothing_schedule(label_smoothing or {})
        if self.smoothing.apply != "gradient":
            raise ValueError(
                f"label_smoothing apply {self.smoothing.apply!r}: expected 'gradient', "
                "a transducer has no target to smooth"
            )
        self.fastemit = fastemit
        self.loss_backend = loss_backend
        self.topology = topology
        self.initialise_frame_weights()

    @property
    def joint_network(self):
        """The decoder's joint; a property, so that its weights are stored once."""
        return self.decoder.joint_network

    def frame_parts(self) -> Dict[str, int]:
        """See EncoderModel."""
        joint = self.joint_network.frame_parts()
        prefixed = {f"decoder.joint_network.{name}": n for name, n in joint.items()}
        return {**super().frame_parts(), **prefixed}

    def encode_layers(self, *args, **kwargs):
        """See EncoderModel; tells the joint which features are in use."""
        result = super().encode_layers(*args, **kwargs)
        self._follow_growth()
        return result

    def set_epoch(self, epoch: int) -> None:
        """See EncoderModel."""
        super().set_epoch(epoch)
        self._follow_growth()

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """See EncoderModel; a search may be built before the first utterance."""
        result = super().load_state_dict(state_dict, strict=strict, assign=assign)
        self._follow_growth()
        return result

    def _follow_growth(self) -> None:
        size = None
        if not hasattr(self.joint_network, "use_frame_size"):
            return  # a joint for encoders whose unused features are zero
        if getattr(self.encoder, "growth_copy", None) == "blocks":
            used = self.encoder.stage.sizes()["frames"]
            size = used if used < self.encoder.output_size() else None
        self.joint_network.use_frame_size(size)

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """See EncoderModel."""
        self._follow_growth()
        masks = super().used_entries()
        if hasattr(self.joint_network, "used_entries"):
            for name, mask in self.joint_network.used_entries().items():
                masks[f"decoder.joint_network.{name}"] = mask
        return masks

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Frames as the joint takes them, [B, T, R]: what ESPnet's searches need."""
        frames_BTD, lengths_B = self.encode_frames(speech, speech_lengths)
        return self.joint_network.project_frames(frames_BTD, lengths_B), lengths_B

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Loss, statistics and batch size.

        Args:
            speech: Waveforms [B, samples] or features [B, T, F].
            speech_lengths: [B].
            text: Token ids [B, L], padded with -1.
            text_lengths: [B].
            kwargs: ``utt_id``, used in messages.
        """
        batch = speech.size(0)
        labels_BL = text[:, : int(text_lengths.max())] if batch else text
        frames_BTD, lengths_B, outputs = self.encode_with_heads(speech, speech_lengths)
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms = []
        text_B = labels_BL, text_lengths
        self.add_top_ctc(terms, stats, frames_BTD, lengths_B, *text_B)
        self.add_aux_ctc(terms, stats, outputs, lengths_B, *text_B)
        if self.main_loss_is_active():
            am_BTR = self.joint_network.project_frames(frames_BTD, lengths_B)
            nll_B = self.transducer_nll(am_BTR, lengths_B, labels_BL, text_lengths)
            possible_B = get_topology(self.topology).feasible(lengths_B, text_lengths)
            possible_B = possible_B.to(nll_B.device)
            self.log_impossible(possible_B, kwargs.get("utt_id"))
            nll = self.counted(nll_B[possible_B]).sum()
            stats["loss_transducer"] = nll.detach() / batch
            stats["impossible"] = (~possible_B).sum().float()
            terms.append(nll)
            if not self.training:
                stats["ter"] = self._token_error_rate(
                    am_BTR, lengths_B, labels_BL, text_lengths
                )
        return self.result(terms, stats, batch)

    def transducer_nll(
        self,
        am_BTR: torch.Tensor,
        frame_lens_B: torch.Tensor,
        labels_BL: torch.Tensor,
        label_lens_B: torch.Tensor,
    ) -> torch.Tensor:
        """Negative log-likelihood of each sequence, inf where there is no path."""
        labels_BL = labels_BL.clamp(min=0)
        lm_BSR = self.decoder(torch.nn.functional.pad(labels_BL, (1, 0), value=0))
        options = self.gradient_options()
        lengths = frame_lens_B, label_lens_B
        if getattr(self.joint_network, "blank_column", None) == "misplaced":
            lattice = self.joint_network(am_BTR.unsqueeze(2), lm_BSR.unsqueeze(1))
            return full_sum_loss(lattice, labels_BL, *lengths, self.topology)
        # upstream checks configurations with blank alone, which have no labels
        if self.loss_backend == "fused" and self.decoder.vocab_size > 1:
            joint = self.joint_network.fused(am_BTR, lm_BSR, options)
            return full_sum_loss(joint, labels_BL, *lengths, self.topology)
        logits, emission = self.joint_network.logits(
            am_BTR.unsqueeze(2), lm_BSR.unsqueeze(1)
        )
        if emission is None:
            return softmax_loss(
                logits, labels_BL, *lengths, self.topology, options=options
            )
        if logits.size(-1) == 0:
            logits = torch.nn.functional.pad(logits, (0, 1))
        # the label axis has no blank: id 1 is its first entry
        labels_BL = (labels_BL - 1).clamp(min=0)
        return factorised_loss(
            logits, emission, labels_BL, *lengths, self.topology, options=options
        )

    def gradient_options(self) -> GradientOptions:
        """Label smoothing of this epoch and growing stage, and FastEmit."""
        smoothing = self.smoothing_now(self.smoothing)
        return GradientOptions(smoothing=smoothing, fastemit=self.fastemit)

    def _token_error_rate(self, am_BTR, frame_lens_B, labels_BL, label_lens_B):
        results = GREEDY[self.topology](self.decoder, am_BTR, frame_lens_B)
        errors, count = 0, 0
        for result, labels, length in zip(
            results, labels_BL.tolist(), label_lens_B.tolist()
        ):
            errors += Levenshtein.distance(labels[:length], result.labels)
            count += length
        return am_BTR.new_tensor(errors / max(count, 1))
