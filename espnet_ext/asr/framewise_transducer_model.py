"""Transducer trained frame by frame along given alignments (2020, stages 3 and 4).

    cost = sum_t (1 - p_t)^f (-log p_t),
    p_t = p(alignment_t | frames, symbols of the alignment before t)

with the output distribution of the decoder: factorised into emission and label. With
f = 0 it is the negative log-probability of the alignment.

Source: reference/losses.md 8; reference/models.md "2020 extended transducer".
"""

# Dimensions: B batch, C chunks, T encoder frames, N input frames, V vocabulary
import math
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.alignment_targets import (
    AlignmentOptions,
    frame_targets,
    require_alignment,
)
from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.loss.aux_ctc import ctc_nll
from espnet_ext.asr.loss.factorised import symbol_log_probs
from espnet_ext.asr.loss.frame_context import cut_alignments, frame_context
from espnet_ext.asr.loss.framewise import factorised_framewise_cost, frame_errors
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.layers.init import init_linear_


class ChunkOptions(NamedTuple):
    """Pieces that utterances are cut into in training, each a sequence of its own.

    Attributes:
        size: Encoder frames of a piece; 60 in the original (``chunk60``).
        hop: From one to the next; with 30 each frame is trained on twice.
        reduction: Input frames of one encoder frame; None: the encoder is asked.
    """

    size: int = 60
    hop: int = 30
    reduction: Optional[int] = None


def time_reduction(encoder) -> Optional[int]:
    """Input frames of one encoder frame, None where it cannot be told."""
    frontend = getattr(encoder, "frontend", None)
    if hasattr(frontend, "reduction"):
        return frontend.reduction
    if hasattr(encoder, "conv_front") and hasattr(encoder, "time_pooling"):
        in_front = getattr(encoder.conv_front, "time_pooling", ())
        return math.prod([*in_front, *encoder.time_pooling])
    return None


class FramewiseTransducerModel(EncoderModel):
    """A decoder and the encoder under it, trained on alignments.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        decoder: ExtendedTransducerDecoder, or LstmTransducerDecoder, which does not
            depend on frames.
        ctc_weight: Scale of a CTC loss on the encoder output; 0 builds no such layer.
        encoder_ctc_weight: Scale of a CTC loss on the frames behind the bottleneck, by
            a layer without bias (``encctc``); its labels are those of the alignment. 0
            builds no such layer.
        focal_factor: f; 2 in the original (``fl2``).
        label_smoothing: By gradient, see SmoothingSchedule.
        topology: Where a label of an alignment begins: ``rna``, or ``label_loop``
            where equal neighbours are one label (``rep``). The searches know ``rna``.
        chunk: Options of ChunkOptions (``chunk60``: all at their defaults); None:
            whole utterances.
        alignment: ``stride`` and ``tolerance``, see AlignmentOptions.
    """

    def __init__(
        self,
        *,
        decoder,
        ctc,
        joint_network=None,
        ctc_weight: float = 0.0,
        encoder_ctc_weight: float = 0.0,
        focal_factor: float = 0.0,
        label_smoothing: Optional[Dict] = None,
        topology: str = "rna",
        chunk: Optional[Dict] = None,
        alignment: Optional[Dict] = None,
        **kwargs,
    ):
        if focal_factor < 0.0:
            raise ValueError(f"focal_factor {focal_factor}: expected at least 0")
        super().__init__(
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            ctc_weight=ctc_weight,
            **kwargs,
        )
        self.criterion_att = None
        self.use_transducer_decoder = True
        self.extended = isinstance(decoder, ExtendedTransducerDecoder)
        if getattr(self.joint_network, "emission", "sigmoid") != "sigmoid":
            raise ValueError("joint emission softmax: expected sigmoid here")
        self.encoder_ctc_weight = encoder_ctc_weight
        self.encoder_ctc = None
        if encoder_ctc_weight > 0.0:
            size = decoder.frame_size if self.extended else self.encoder.output_size()
            head = torch.nn.Linear(size, self.vocab_size, bias=False)
            self.encoder_ctc = init_linear_(head)
        self.focal_factor = focal_factor
        self.smoothing = smoothing_schedule(label_smoothing or {})
        if self.smoothing.apply != "gradient":
            raise ValueError(
                f"label_smoothing apply {self.smoothing.apply!r}: expected 'gradient'"
            )
        empty = torch.zeros(0, 0, dtype=torch.long)
        frame_context(empty, empty[:, 0:0].sum(1), topology=topology)  # is it known?
        self.topology = topology
        self.chunk = self._chunk_options(chunk)
        self.alignment = AlignmentOptions.of(alignment)
        self.check_start(self.ctc_heads is not None or ctc_weight > 0.0)
        self.initialise_frame_weights()

    def _chunk_options(self, options: Optional[Dict]) -> Optional[ChunkOptions]:
        if options is None:
            return None
        try:
            chunk = ChunkOptions(**options)
        except TypeError as error:
            raise ValueError(f"chunk: {error}") from None
        reduction = chunk.reduction or time_reduction(self.encoder)
        if reduction is None or chunk.size < 1 or chunk.hop < 1:
            raise ValueError(
                f"chunk {dict(options)}: expected size and hop of at least 1, and "
                "reduction (input frames of one encoder frame) with this encoder"
            )
        return chunk._replace(reduction=reduction)

    @property
    def joint_network(self):
        """The joint of a decoder that has one; its weights are stored once."""
        return getattr(self.decoder, "joint_network", None)

    def frame_parts(self) -> Dict[str, int]:
        """See EncoderModel."""
        parts = super().frame_parts()
        prefix, owner = "decoder", self.decoder
        if not self.extended:
            prefix, owner = "decoder.joint_network", self.joint_network
            if self.encoder_ctc is not None:
                parts["encoder_ctc.weight"] = 1
        return {**parts, **{f"{prefix}.{n}": c for n, c in owner.frame_parts().items()}}

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Frames as the decoder's searches take them, [B, T, R], and lengths."""
        frames_BTD, lengths_B = self.encode_frames(speech, speech_lengths)
        owner = self.decoder if self.extended else self.joint_network
        return owner.project_frames(frames_BTD, lengths_B), lengths_B

    def aligned_logits(
        self,
        frames_BTD: torch.Tensor,
        lengths_B: torch.Tensor,
        targets_BT: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Label logits [B, T, V - 1] and emission logits [B, T] along alignments.

        Args:
            frames_BTD: Frames behind the bottleneck, if the decoder has one.
            lengths_B: Valid frames.
            targets_BT: Symbols.
        """
        if self.extended:
            frames_BTR = self.decoder.attend(frames_BTD, lengths_B)
            return self.decoder(frames_BTR, lengths_B, targets_BT, self.topology)
        labels_BL, _, position_BT = frame_context(
            targets_BT, lengths_B, self.blank_id, self.topology
        )
        lm_BSR = self.decoder(F.pad(labels_BL.clamp(min=0), (1, 0), value=0))
        index_BTR = position_BT.unsqueeze(2).expand(-1, -1, lm_BSR.size(2))
        am_BTR = self.joint_network.project_frames(frames_BTD, lengths_B)
        return self.joint_network.logits(am_BTR, lm_BSR.gather(1, index_BTR))

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
        """Loss, statistics and batch size; arguments as FramewiseModel.

        In training with chunks, CTC losses are computed on them too, with the labels
        that the alignment has there.
        """
        require_alignment(alignment, alignment_lengths)
        batch = speech.size(0)
        features, lengths_B = self.features(speech, speech_lengths, for_loss=True)
        aligned = alignment, alignment_lengths
        options, ids = self.alignment, kwargs.get("utt_id")
        if self.chunk is not None and self.training:
            features, lengths_B, *aligned = self._cut(features, lengths_B, aligned, ids)
            options, ids = AlignmentOptions(tolerance=options.tolerance), None
        layers = self.ctc_heads.layers if self.ctc_heads is not None else ()
        frames_BTD, frame_lens_B, outputs = self.encode_features(
            features, lengths_B, layers, for_loss=True
        )
        frames = frames_BTD.size(1), frame_lens_B
        targets_BT, lens_B = frame_targets(*aligned, *frames, options, ids)
        labels_BL, label_lens_B, _ = frame_context(
            targets_BT, lens_B, self.blank_id, self.topology
        )
        text_B = labels_BL, label_lens_B
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms: List[torch.Tensor] = []
        self.add_top_ctc(terms, stats, frames_BTD, frame_lens_B, *text_B)
        self.add_aux_ctc(terms, stats, outputs, frame_lens_B, *text_B)
        if self.extended:
            frames_BTD = self.decoder.project_encoder(frames_BTD)
        if self.encoder_ctc is not None:
            logits_BTV = self.encoder_ctc(frames_BTD)
            labels = labels_BL.clamp(min=0), frame_lens_B, label_lens_B, self.blank_id
            nll_B = ctc_nll(logits_BTV, *labels)
            stats["loss_encoder_ctc"] = nll_B.detach().sum() / batch
            terms.append(self.encoder_ctc_weight * nll_B.sum())
        if self.main_loss_is_active():
            self._add_framewise(terms, stats, batch, frames_BTD, lens_B, targets_BT)
        return self.result(terms, stats, batch)

    def _cut(self, features, lengths_B, aligned, utterance_ids):
        """Features [C, N, F] of all chunks, their lengths, alignments and lengths."""
        reduction = self.chunk.reduction
        frame_lens_B = torch.div(
            lengths_B + reduction - 1, reduction, rounding_mode="floor"
        )
        frames = int(frame_lens_B.max()), frame_lens_B
        targets = frame_targets(*aligned, *frames, self.alignment, utterance_ids)
        chunks = cut_alignments(*targets, self.chunk.size, self.chunk.hop)
        inputs = chunks.times(reduction, lengths_B)
        pieces = inputs.cut(features), inputs.frame_lens_C
        return (*pieces, chunks.alignment_CN, chunks.frame_lens_C)

    def _add_framewise(self, terms, stats, batch, frames_BTD, lens_B, targets_BT):
        logits, emission_BT = self.aligned_logits(frames_BTD, lens_B, targets_BT)
        if logits.size(-1) == 0:  # upstream's check has blank alone
            logits = F.pad(logits, (0, 1))
        cost_BT = factorised_framewise_cost(
            logits,
            emission_BT,
            targets_BT,
            lens_B,
            self.blank_id,
            focal_factor=self.focal_factor,
            options=GradientOptions(smoothing=self.smoothing_now(self.smoothing)),
        )
        stats["loss_framewise"] = cost_BT.detach().sum() / batch
        terms.append(self.counted(cost_BT.sum(1)).sum())
        log_probs = symbol_log_probs(logits.detach(), emission_BT.detach())
        errors_B = frame_errors(log_probs, targets_BT, lens_B)
        stats["fer"] = errors_B.sum() / lens_B.sum().clamp(min=1)
