"""Cross entropy on a given alignment, with focal factor and label smoothing.

    cost_t = (1 - p_t)^f (-log p_t),    p_t = p(alignment_t | frame t, its context)

f = 0 is plain cross entropy, f = 2 was used in the original. The gradient goes through
the focal factor as well. With w_t = -d cost_t / d log p_t,

    w_t = (1 - p_t)^f - f (1 - p_t)^(f - 1) p_t log p_t

the frame is a node whose only arc has the posterior w_t, so that everything else
(emission sigmoid, label smoothing by gradient, label scale) is as in ``factorised.py``.

Source: reference/losses.md 8; Lin et al. 2017, Focal Loss for Dense Object Detection,
equation 4.
"""

# Dimensions: B batch, T frames, K labels, V = K + 1 symbols
from typing import Optional

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.factorised import label_unit
from espnet_ext.asr.loss.logits_gradient import logits_gradient
from espnet_ext.asr.loss.node_gradient import PLAIN, GradientOptions
from espnet_ext.errors import OptionError


def _focal(log_p: torch.Tensor, factor: float):
    """(1 - p)^f and w of the log-probability; exactly 1 for f = 0."""
    if factor == 0.0:
        return torch.ones_like(log_p), torch.ones_like(log_p)
    rest = -torch.expm1(log_p)  # 1 - p
    focus = rest**factor
    # p log p / (1 - p) tends to -1 where p tends to 1, and must not be 0 / 0 there
    ratio = torch.where(rest > 0, log_p.exp() * log_p / rest, -1.0)
    return focus, focus * (1.0 - factor * ratio)


class _FramewiseCost(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        logits_BTK,
        emission_BT,
        unit_BT,
        is_blank_BT,
        valid_BT,
        blank,
        focal,
        options,
    ):
        exact = torch.promote_types(logits_BTK.dtype, torch.float32)
        normaliser_BT = logits_BTK.to(exact).logsumexp(-1)
        unit_logit_BT = logits_BTK.gather(-1, unit_BT.unsqueeze(-1)).squeeze(-1)
        unit_BT_log_p = unit_logit_BT.to(exact) - normaliser_BT
        label_log_p = options.label_scale * unit_BT_log_p
        if emission_BT is None:
            log_p = torch.where(is_blank_BT, unit_BT_log_p, label_log_p)
        else:
            emission = emission_BT.to(exact)
            label_log_p = F.logsigmoid(emission) + label_log_p
            log_p = torch.where(is_blank_BT, F.logsigmoid(-emission), label_log_p)
        log_p = log_p.clamp(max=0.0)  # rounding may put it above
        focus_BT, weight_BT = _focal(log_p, focal)
        ctx.save_for_backward(
            logits_BTK,
            normaliser_BT,
            emission_BT,
            unit_BT,
            is_blank_BT,
            weight_BT,
            valid_BT,
        )
        ctx.blank, ctx.options = blank, options
        return (-focus_BT * log_p).masked_fill(~valid_BT, 0.0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BT):
        logits, normaliser, emission, unit, is_blank, weight, valid = ctx.saved_tensors
        weight = (weight * grad_BT).masked_fill(~valid, 0.0)
        blank = weight.masked_fill(~is_blank, 0.0)
        label = weight.masked_fill(is_blank, 0.0)
        num_labels = logits.size(-1) - (emission is None)
        node = ctx.options.node_gradient(blank, label, None, num_labels)
        grads = logits_gradient(
            logits,
            normaliser,
            emission,
            node,
            [(unit, node.peak)],
            blank=ctx.blank,
            label_scale=ctx.options.label_scale,
        )
        return *grads, *[None] * 6


def factorised_framewise_cost(
    label_logits_BTK: torch.Tensor,
    emission_BT: torch.Tensor,
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
    blank: int = 0,
    *,
    focal_factor: float = 0.0,
    options: Optional[GradientOptions] = None,
) -> torch.Tensor:
    """Cost of each frame with a separate emission sigmoid.

    Args:
        label_logits_BTK: Logits over the labels, of frame t in the context of the
            alignment: ``frame_context`` says which output of the prediction network
            that is. The units are the symbols without blank, in order.
        emission_BT: Logit of emitting any label.
        alignment_BT: Symbol of each frame, an id in V; padded with anything.
        frame_lens_B: Valid frames.
        blank: Index of blank in V.
        focal_factor: f.
        options: Label smoothing by gradient and label scale. FastEmit makes no sense
            on a fixed alignment and is refused.

    Returns:
        cost_BT in nats, at least float32, 0 in the padding. The original takes the sum
        over frames and sequences.

    Raises:
        OptionError: A symbol outside of V; a negative focal factor; FastEmit.
        ValueError: Shapes do not fit.
    """
    if emission_BT.shape != label_logits_BTK.shape[:-1]:
        raise ValueError(
            f"emission of shape {tuple(emission_BT.shape)}: expected "
            f"{tuple(label_logits_BTK.shape[:-1])}, that of the label logits without K"
        )
    return _cost(
        label_logits_BTK,
        emission_BT,
        alignment_BT,
        frame_lens_B,
        blank,
        focal_factor,
        options,
    )


def softmax_framewise_cost(
    logits_BTV: torch.Tensor,
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
    blank: int = 0,
    *,
    focal_factor: float = 0.0,
    options: Optional[GradientOptions] = None,
) -> torch.Tensor:
    """Cost of each frame with one softmax over V; otherwise as the factorised one."""
    return _cost(
        logits_BTV, None, alignment_BT, frame_lens_B, blank, focal_factor, options
    )


def _cost(logits, emission, alignment_BT, frame_lens_B, blank, focal_factor, options):
    options = options or PLAIN
    if focal_factor < 0.0 or options.fastemit:
        raise OptionError(
            f"framewise cost with focal factor {focal_factor} and FastEmit "
            f"{options.fastemit}",
            expected="a focal factor >= 0, and no FastEmit on a fixed alignment",
        )
    symbols = logits.size(-1) + (emission is not None)
    valid_BT = _check(logits.shape[:2], alignment_BT, frame_lens_B, blank, symbols)
    alignment_BT = alignment_BT.to(logits.device)
    valid_BT = valid_BT.to(logits.device)
    unit_BT = torch.where(valid_BT, alignment_BT, blank).long()
    is_blank_BT = unit_BT == blank
    if emission is not None:
        unit_BT = label_unit(unit_BT, blank).clamp(min=0)  # any, where it is blank
    return _FramewiseCost.apply(
        logits, emission, unit_BT, is_blank_BT, valid_BT, blank, focal_factor, options
    )


def _check(lattice, alignment_BT, frame_lens_B, blank, symbols) -> torch.Tensor:
    """Which frames are valid, [B, T]; raises where something does not fit."""
    if alignment_BT.shape != lattice or frame_lens_B.shape != lattice[:1]:
        raise ValueError(
            f"alignment {tuple(alignment_BT.shape)} and lengths "
            f"{tuple(frame_lens_B.shape)}: expected {tuple(lattice)} and "
            f"{tuple(lattice[:1])} as the logits"
        )
    frames_T = torch.arange(lattice[1], device=alignment_BT.device)
    valid_BT = frames_T < frame_lens_B.to(alignment_BT.device).unsqueeze(1)
    wrong = alignment_BT[valid_BT & ((alignment_BT < 0) | (alignment_BT >= symbols))]
    for name, found in (("symbol", wrong.tolist()[:1]), ("blank", [blank])):
        if found and not 0 <= found[0] < symbols:
            raise OptionError(
                f"{name} {found[0]} is outside the vocabulary",
                where="alignment",
                expected=f"0 to {symbols - 1}, as the logits have {symbols} symbols",
            )
    return valid_BT


def frame_errors(
    log_probs_BTV: torch.Tensor,
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
) -> torch.Tensor:
    """Number of frames [B] whose most probable symbol is not that of the alignment.

    Divided by the number of frames of a dev set it is what the original's framewise
    trainings scheduled their learning rate by.
    """
    frames_T = torch.arange(alignment_BT.size(1), device=log_probs_BTV.device)
    valid_BT = frames_T < frame_lens_B.to(frames_T.device).unsqueeze(1)
    wrong_BT = log_probs_BTV.argmax(-1) != alignment_BT.to(frames_T.device)
    return (wrong_BT & valid_BT).sum(1)
