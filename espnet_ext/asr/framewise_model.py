"""Framewise (hybrid) model: an encoder and a softmax, trained on alignments.

    cost = sum_t (1 - p_t)^f (-log p_t),    p_t = softmax(W x_t + b)[alignment_t]

plus the same on intermediate layers. In decoding, a symbol's score is its posterior
divided by its prior to some power, which makes it a likelihood for a search.

Ref: Bourlard and Morgan 1993, Connectionist Speech Recognition: A Hybrid Approach
(division by priors); Lin et al. 2017 (focal factor).
Source: reference/models.md (i).
"""

# Dimensions: B batch, T encoder frames, D encoder, V vocabulary with blank
from typing import Dict, Iterable, List, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.alignment_targets import (
    AlignmentOptions,
    frame_targets,
    require_alignment,
)
from espnet_ext.asr.encoder_model import EncoderModel, smoothing_schedule
from espnet_ext.asr.loss.framewise import frame_errors, softmax_framewise_cost
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.layers.init import init_linear_


class FramewiseModel(EncoderModel):
    """Cross entropy on the symbol that an alignment gives each encoder frame.

    Decoding is that of a CTC model: greedy, prefix beam search or, without
    ``collapse``, the time-synchronous search. A decoder in the configuration is not
    used.

    Args (in addition to those of EncoderModel and ESPnetASRModel):
        ctc_weight: Scale of a CTC loss on the encoder output; 0 builds no such layer,
            and ESPnet's own CTC search then gets the scores of this model's output.
        focal_factor: f; 2 in the original, 0 for plain cross entropy.
        label_smoothing: By gradient, see SmoothingSchedule (``ls``: over all symbols,
            which for cross entropy is ordinary label smoothing; ``lsx``).
        aux_framewise: ``layers`` (1-based numbers below the last one) with a softmax
            and cost of their own, and their ``weight``. None for no such layers.
        alignment: ``stride`` and ``tolerance``, see AlignmentOptions.
        prior_scale: Power of the prior that scores are divided by; 0 for posteriors.
        prior_momentum: The stored prior moves by this fraction to the mean posterior
            of each training batch; ``estimate_prior`` measures it exactly.
    """

    def __init__(
        self,
        *,
        ctc,
        decoder=None,
        joint_network=None,
        ctc_weight: float = 0.0,
        focal_factor: float = 0.0,
        label_smoothing: Optional[Dict] = None,
        aux_framewise: Optional[Dict] = None,
        alignment: Optional[Dict] = None,
        prior_scale: float = 0.0,
        prior_momentum: float = 0.01,
        **kwargs,
    ):
        if focal_factor < 0.0 or not 0.0 <= prior_momentum <= 1.0:
            raise ValueError(
                f"focal_factor {focal_factor} and prior_momentum {prior_momentum}: "
                "expected at least 0, and 0 to 1"
            )
        # ESPnet wants a decoder unless CTC is all there is
        super().__init__(
            ctc=ctc, decoder=None, joint_network=None, ctc_weight=1.0, **kwargs
        )
        self.criterion_att = None
        self.ctc_weight = ctc_weight
        if ctc_weight == 0.0:
            del self.ctc
            self.ctc = SymbolScores(self)
        self.focal_factor = focal_factor
        self.smoothing = smoothing_schedule(label_smoothing or {})
        if self.smoothing.apply != "gradient" or self.smoothing.over == "labels":
            raise ValueError(
                "label_smoothing of a framewise model: expected type ls or lsx, applied"
                " to the gradient"
            )
        self.alignment = AlignmentOptions.of(alignment)
        self.framewise_output = self._output()
        aux = dict(aux_framewise or {})
        layers = [int(number) for number in aux.pop("layers", ())]
        self.aux_weight = float(aux.pop("weight", 1.0))
        if aux:
            raise ValueError(f"aux_framewise has no option {sorted(aux)[0]!r}")
        if layers:
            self.check_layer_outputs("aux_framewise")
        self.aux_outputs = torch.nn.ModuleDict(
            {str(number): self._output() for number in sorted(layers)}
        )
        self.prior_scale = prior_scale
        self.prior_momentum = prior_momentum
        uniform = torch.full((self.vocab_size,), 1.0 / self.vocab_size)
        self.register_buffer("prior", uniform)
        self.check_start(self.ctc_heads is not None or ctc_weight > 0.0 or bool(layers))
        self.initialise_frame_weights()

    def _output(self) -> torch.nn.Linear:
        size = self.encoder.output_size()
        return init_linear_(torch.nn.Linear(size, self.vocab_size))

    def frame_parts(self) -> Dict[str, int]:
        """See EncoderModel."""
        parts = {f"aux_outputs.{number}.weight": 1 for number in self.aux_outputs}
        return {**super().frame_parts(), **parts, "framewise_output.weight": 1}

    def loss_layers(self) -> Tuple[int, ...]:
        """Layers whose outputs some loss needs."""
        numbers = {int(number) for number in self.aux_outputs}
        if self.ctc_heads is not None:
            numbers.update(self.ctc_heads.layers)
        return tuple(sorted(numbers))

    def cost(
        self,
        output: torch.nn.Linear,
        frames_BTD: torch.Tensor,
        targets_BT: torch.Tensor,
        lens_B: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Cost of each frame [B, T], 0 in the padding, and the logits [B, T, V]."""
        weight = output.weight[:, : frames_BTD.size(2)]
        logits_BTV = F.linear(frames_BTD, weight, output.bias)
        cost_BT = softmax_framewise_cost(
            logits_BTV,
            targets_BT,
            lens_B,
            self.blank_id,
            focal_factor=self.focal_factor,
            options=GradientOptions(smoothing=self.smoothing_now(self.smoothing)),
        )
        return cost_BT, logits_BTV

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
            speech: Waveforms [B, samples] or features [B, T, F].
            speech_lengths: [B].
            text: Token ids [B, L], padded with -1; used by CTC losses only.
            text_lengths: [B].
            alignment: Symbols [B, A], padded with -1.
            alignment_lengths: [B].
            kwargs: ``utt_id``, used in messages.

        Raises:
            FormatError: An alignment does not fit its utterance.
            ValueError: There is no alignment.
        """
        require_alignment(alignment, alignment_lengths)
        batch = speech.size(0)
        labels_BL = text[:, : int(text_lengths.max())] if batch else text
        frames_BTD, frame_lens_B, outputs = self.encode_layers(
            speech, speech_lengths, self.loss_layers(), for_loss=True
        )
        targets = frame_targets(
            alignment,
            alignment_lengths,
            frames_BTD.size(1),
            frame_lens_B,
            self.alignment,
            kwargs.get("utt_id"),
        )
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms: List[torch.Tensor] = []
        text_B = labels_BL, text_lengths
        if self.main_loss_is_active():
            cost_BT, logits_BTV = self.cost(self.framewise_output, frames_BTD, *targets)
            stats["loss_framewise"] = cost_BT.detach().sum() / batch
            terms.append(self.counted(cost_BT.sum(1)).sum())
            errors_B = frame_errors(logits_BTV.detach(), *targets)
            stats["fer"] = errors_B.sum() / targets[1].sum().clamp(min=1)
            if self.training:
                self._move_prior(logits_BTV.detach(), targets[1])
        for number, frames in outputs:
            if str(number) in self.aux_outputs:
                head = self.aux_outputs[str(number)]
                cost = self.cost(head, frames, *targets)[0].sum()
                stats[f"loss_framewise_{number}"] = cost.detach() / batch
                terms.append(self.aux_weight * cost)
        self.add_top_ctc(terms, stats, frames_BTD, frame_lens_B, *text_B)
        self.add_aux_ctc(terms, stats, outputs, frame_lens_B, *text_B)
        return self.result(terms, stats, batch)

    @torch.no_grad()
    def _move_prior(self, logits_BTV: torch.Tensor, lens_B: torch.Tensor) -> None:
        total_V, count = _posterior_sum(logits_BTV, lens_B)
        if count:
            self.prior.lerp_((total_V / count).to(self.prior), self.prior_momentum)

    @torch.no_grad()
    def estimate_prior(
        self, batches: Iterable[Tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """Set the prior to the mean posterior over all frames of some data.

        Args:
            batches: Pairs of speech and lengths, as for ``forward``. The model should
                be in evaluation mode.

        Returns:
            The prior [V].

        Raises:
            ValueError: No frames.
        """
        total_V, count = self.prior.double() * 0.0, 0
        for speech, lengths in batches:
            frames_BTD, lens_B = self.encode_frames(speech, lengths)
            sum_V, frames = _posterior_sum(self.framewise_output(frames_BTD), lens_B)
            total_V, count = total_V + sum_V, count + frames
        if not count:
            raise ValueError("estimate_prior: expected at least one frame")
        self.prior.copy_(total_V / count)
        return self.prior

    def symbol_scores(self, frames_BTD: torch.Tensor) -> torch.Tensor:
        """log p(symbol | frame) - prior_scale log prior, [B, T, V]."""
        scores_BTV = self.framewise_output(frames_BTD).log_softmax(-1)
        if self.prior_scale == 0.0:
            return scores_BTV
        tiny = torch.finfo(self.prior.dtype).tiny
        return scores_BTV - self.prior_scale * self.prior.clamp(min=tiny).log()


def _posterior_sum(
    logits_BTV: torch.Tensor, lens_B: torch.Tensor
) -> Tuple[torch.Tensor, int]:
    """Sum [V] of the posteriors of all valid frames, double, and their number."""
    frames_T = torch.arange(logits_BTV.size(1), device=logits_BTV.device)
    valid_BT = frames_T < lens_B.to(frames_T.device).unsqueeze(1)
    posteriors = logits_BTV[valid_BT].double().softmax(-1)
    return posteriors.sum(0), int(valid_BT.sum())


class SymbolScores:
    """A framewise model's scores, where ESPnet's searches look for a CTC module."""

    def __init__(self, model: FramewiseModel):
        self.model = model

    def log_softmax(self, hs_pad: torch.Tensor) -> torch.Tensor:
        """See FramewiseModel.symbol_scores; the name is ESPnet's."""
        return self.model.symbol_scores(hs_pad)

    def argmax(self, hs_pad: torch.Tensor) -> torch.Tensor:
        """Best symbol of each frame [B, T]."""
        return self.log_softmax(hs_pad).argmax(2)
