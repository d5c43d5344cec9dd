"""Label smoothing: by gradient as an operation of its own, and in the target.

By gradient: forward is the identity on log-probabilities; backward takes the gradient
g that a loss hands down and returns, over the D classes of one axis,

    g'_k = factor g_k - floor sum_j |g_j|,   floor = s / (D - 1), factor = 1 - D floor

so the value of the loss stays as it is, and scores can be compared with those of
other experiments. For cross entropy (g = -1 at the label) this is the gradient of the
ordinary form, with target 1 - s for the label and s / (D - 1) for every other class.
For a full sum, -g are the posteriors of the symbols, and the mass that is spread is
that of the node.

Source: reference/losses.md 6 and reference/parts.md 3.
"""

# Dimensions: N rows, D classes, K = V - 1 labels
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.node_gradient import (
    WARMUP_EPOCHS,
    LabelSmoothing,
    smoothing_terms,
    warmup_fraction,
)
from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

IGNORE_INDEX = -1  # what ESPnet pads labels with
SMOOTHED = {"all": "ls", "all_but_blank": "lsx", "labels": "lsxx"}
APPLIED = ("gradient", "target")
SCHEDULES = ("constant", "growth", "warmup")


class _SmoothGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, log_probs, factor, floor, dim, excluded):
        ctx.terms = factor, floor, dim, excluded
        return log_probs.view_as(log_probs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        factor, floor, dim, excluded = ctx.terms
        mass = grad.abs().sum(dim, keepdim=True, dtype=_exact(grad.dtype))
        smoothed = (factor * grad - floor * mass).to(grad.dtype)
        if excluded is not None:
            smoothed.select(dim, excluded).copy_(grad.select(dim, excluded))
        return smoothed, None, None, None, None


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def smooth_gradient(
    log_probs: torch.Tensor,
    scale: float,
    dim: int = -1,
    excluded: Optional[int] = None,
) -> torch.Tensor:
    """The same log-probabilities; their gradient is smoothed on the way back.

    Args:
        log_probs: Any shape. All of V for ``ls`` and ``lsx``; the label log-softmax,
            before the emission is added, for ``lsxx``; the output of an attention
            decoder for ``ls01g``.
        scale: s; with 0 the argument itself is returned.
        dim: The axis of the classes.
        excluded: A class whose gradient is left alone (blank, for ``lsx``). It still
            counts in D and in the sum.

    Raises:
        OptionError: s outside of [0, 1).
    """
    if not LabelSmoothing("ls", scale):
        return log_probs
    terms = smoothing_terms(scale, log_probs.size(dim))
    return _SmoothGradient.apply(log_probs, *terms, dim, excluded)


def smoothed_cross_entropy(
    logits_ND: torch.Tensor,
    targets_N: torch.Tensor,
    scale: float = 0.0,
    ignore_index: int = IGNORE_INDEX,
) -> torch.Tensor:
    """Cross entropy with target 1 - s for the label, s / (D - 1) for each other class.

    Args:
        logits_ND: Logits, or log-probabilities (whose log-softmax they are themselves).
        targets_N: Classes; rows with ``ignore_index`` cost 0 and have no gradient.
        scale: s.
        ignore_index: Marks padding.

    Returns:
        Cost of each row [N] in nats. Differs from ``label_smoothing`` of torch, which
        gives s / D to all classes, the right one included.

    Source: reference/losses.md 6.1 (``ls01`` of attention models).
    """
    smoothing = LabelSmoothing("ls", scale)
    classes = logits_ND.size(-1)
    uniform = classes * smoothing_terms(smoothing.scale, classes)[1]
    return F.cross_entropy(
        logits_ND,
        targets_N,
        ignore_index=ignore_index,
        reduction="none",
        label_smoothing=min(uniform, 1.0),
    )


@dataclass(frozen=True)
class SmoothingSchedule:
    """The configuration ``label_smoothing`` of a model: what, how much and when.

    Args:
        amount: s, mass that is moved.
        over: ``all`` classes (ls), ``all_but_blank`` (lsx), or ``labels`` alone, before
            the emission probability comes in (lsxx).
        apply: To the ``gradient``, or to the ``target`` (cross entropy only).
        schedule: ``constant``; ``growth`` (a): with the growth of the encoder; or
            ``warmup`` (b): linear over the first ``warmup_epochs`` sub-epochs.
        warmup_epochs: 60 in the original.

    Raises:
        OptionError: A name or number that is none of these.
    """

    amount: float = 0.0
    over: str = "all"
    apply: str = "gradient"
    schedule: str = "constant"
    warmup_epochs: int = WARMUP_EPOCHS

    def __post_init__(self):
        for name, valid in (
            ("over", tuple(SMOOTHED)),
            ("apply", APPLIED),
            ("schedule", SCHEDULES),
        ):
            value = getattr(self, name)
            if value not in valid:
                near = nearest(str(value), valid)
                raise OptionError(
                    f"label smoothing: {name} {value!r} is unknown",
                    expected=", ".join(valid),
                    next_step=f"did you mean {near}?" if near else None,
                )
        if self.apply == "target" and self.over != "all":
            raise OptionError(
                f"label smoothing of the target over {self.over}",
                expected="all, as cross entropy has no blank",
            )
        if self.warmup_epochs < 1:
            raise OptionError(
                f"label smoothing: warmup_epochs {self.warmup_epochs}", expected=">= 1"
            )
        self.at(self.warmup_epochs)  # checks the amount

    def at(self, epoch: int, growth: float = 1.0) -> LabelSmoothing:
        """Smoothing in the 1-based sub-epoch ``epoch``.

        Args:
            epoch: Used by ``warmup``.
            growth: ``growth_fraction`` of the encoder, used by ``growth``.
        """
        fraction = {
            "constant": 1.0,
            "growth": growth,
            "warmup": warmup_fraction(epoch, self.warmup_epochs),
        }[self.schedule]
        return LabelSmoothing(SMOOTHED[self.over], self.amount).times(fraction)
