"""Feed-forward and convolution modules of a Conformer layer.

Source: reference/models.md d.1, d.2.
"""

# Dimensions: B batch, T frames, D model, F feed-forward
from typing import Optional

import torch
import torch.nn.functional as F

from espnet_ext.layers.batch_norm import GrowingBatchNorm
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import (
    Axis,
    GrowingLayerNorm,
    GrowingLinear,
    GrowingModule,
    fixed,
)
from espnet_ext.layers.init import uniform_limit
from espnet_ext.layers.same_padding import same_padding

CONV_NORMS = ("batch_norm", "masked_batch_norm", "layer_norm")
FEED_FORWARD_DROPOUTS = {
    "whole_module": "whole",
    "shared": "shared",
    "elementwise": "elementwise",
}


def zero_padding(
    x_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor]
) -> torch.Tensor:
    """Zeros on frames after the end of each sequence; x itself without lengths."""
    if lengths_B is None:
        return x_BTD
    frames_T = torch.arange(x_BTD.size(1), device=x_BTD.device)
    padded_BT = frames_T >= lengths_B.to(x_BTD.device).unsqueeze(1)
    return x_BTD.masked_fill(padded_BT.unsqueeze(2), 0.0)


class FeedForward(torch.nn.Module):
    """W2 dropout(swish(W1 x + b1)) + b2.

    Args:
        size: D.
        inner_size: F.
        dropout: Rate of the inner dropout.
        dropout_form: ``whole_module``: with this probability the whole inner
            activation is zero, in all frames of all sequences, and otherwise scaled.
            That is what the original does: its mask names an axis that the activation
            does not have. ``shared`` and ``elementwise`` as FeatureDropout.
        init: Distribution of the initial weights, see ``uniform_limit``.
    """

    def __init__(
        self,
        size: int,
        inner_size: int,
        dropout: float,
        dropout_form: str,
        init: str = "glorot",
    ):
        super().__init__()
        if dropout_form not in FEED_FORWARD_DROPOUTS:
            raise ValueError(
                f"feed_forward_dropout {dropout_form!r}: expected one of "
                f"{tuple(FEED_FORWARD_DROPOUTS)}"
            )
        model, inner = Axis("model", size), Axis("feed_forward", inner_size)
        self.linear_ff = GrowingLinear(model, inner, init=init)
        self.linear_out = GrowingLinear(inner, model, init=init)
        self.dropout = FeatureDropout(dropout, FEED_FORWARD_DROPOUTS[dropout_form])

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to [B, T, D]."""
        return self.linear_out(self.dropout(F.silu(self.linear_ff(x_BTD))))


class DepthwiseConvolution(GrowingModule):
    """Convolution over time of each feature by itself, stride 1, SAME padding.

    An even kernel has the larger half on the right.
    """

    def __init__(self, axis: Axis, kernel_size: int):
        super().__init__()
        self.kernel_size = kernel_size
        self.weight = torch.nn.Parameter(torch.empty(axis.size, 1, kernel_size))
        self.bias = torch.nn.Parameter(torch.zeros(axis.size))
        kernel = Axis("kernel", kernel_size)
        self.axes = {"weight": (axis, fixed(1), kernel), "bias": (axis,)}
        self.initialise([{}])

    def initialise(self, stages) -> None:
        """Glorot uniform: fan_in = kernel, fan_out = D * kernel (not per group)."""
        self.draw(
            "weight",
            stages,
            lambda count, _, kernel: uniform_limit(kernel, count * kernel),
        )

    def forward(self, x_BDT: torch.Tensor) -> torch.Tensor:
        """[B, D, T] to [B, D, T]."""
        weight = self.used("weight")
        padding = same_padding(x_BDT.size(2), weight.size(2), 1)
        x_BDT = F.pad(x_BDT, padding)
        return F.conv1d(x_BDT, weight, self.used("bias"), groups=weight.size(0))


class SqueezeExcitation(torch.nn.Module):
    """Factor in 0..1 for each feature, from its mean over the valid frames.

    Not in the original.

    Ref: Hu et al. 2018; Han et al. 2020 (ContextNet) section 2.2.3.
    """

    def __init__(self, axis: Axis, reduction: int):
        super().__init__()
        if reduction < 1:
            raise ValueError(f"squeeze_excitation {reduction}: expected at least 1")
        inner = fixed(max(axis.size // reduction, 1))
        self.squeeze = GrowingLinear(axis, inner)
        self.excite = GrowingLinear(inner, axis)

    def forward(
        self, x_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor]
    ) -> torch.Tensor:
        """x_BTD times its factors [B, 1, D]."""
        if lengths_B is None:
            mean_BD = x_BTD.mean(1)
        else:
            count = lengths_B.to(x_BTD.device).clamp(min=1).unsqueeze(1)
            mean_BD = zero_padding(x_BTD, lengths_B).sum(1) / count
        factors_BD = self.excite(F.silu(self.squeeze(mean_BD))).sigmoid()
        return x_BTD * factors_BD.unsqueeze(1)


def second_half_gate(x: torch.Tensor, dim: int) -> torch.Tensor:
    """b sigmoid(b) for [a, b]: the second half gates itself, the first has no effect.

    What some graphs of the original computed in the place of GLU's a sigmoid(b); found
    in ``parity/chunk_train_50a.npz`` and ``parity/recog_att.npz``. No configuration
    chooses it: it serves the comparison with such files.
    """
    return F.silu(x.chunk(2, dim)[1])


class ConvolutionModule(torch.nn.Module):
    """Linear to 2D, GLU, depthwise convolution, norm, swish, Linear.

    Args:
        size: D.
        kernel_size: Of the depthwise convolution.
        norm: ``batch_norm``, ``masked_batch_norm`` or ``layer_norm``.
        squeeze_excitation: Reduction ratio, or None for none.
        hide_padding: Frames after the end look like zeros to the convolution. In the
            original they are seen as they are.
        init: Distribution of the linear layers' weights, see ``uniform_limit``.
        updates_in_evaluation: See GrowingBatchNorm.
    """

    def __init__(
        self,
        size: int,
        kernel_size: int,
        norm: str,
        squeeze_excitation: Optional[int] = None,
        hide_padding: bool = False,
        init: str = "glorot",
        updates_in_evaluation: bool = False,
    ):
        super().__init__()
        if norm not in CONV_NORMS:
            raise ValueError(f"conv_norm {norm!r}: expected one of {CONV_NORMS}")
        model = Axis("model", size)
        self.hide_padding = hide_padding
        self.gate = F.glu
        both = Axis("model", 2 * size, 2)
        self.pointwise_in = GrowingLinear(model, both, init=init)
        self.depthwise = DepthwiseConvolution(model, kernel_size)
        if norm == "layer_norm":
            self.norm = GrowingLayerNorm(model)
        else:
            masked = norm == "masked_batch_norm"
            self.norm = GrowingBatchNorm(model, masked, updates_in_evaluation)
        self.squeeze_excitation = None
        if squeeze_excitation is not None:
            self.squeeze_excitation = SqueezeExcitation(model, squeeze_excitation)
        self.pointwise_out = GrowingLinear(model, model, init=init)

    def forward(
        self, x_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """[B, T, D] to [B, T, D]."""
        x_BTD = self.gate(self.pointwise_in(x_BTD), dim=2)
        if self.hide_padding:
            x_BTD = zero_padding(x_BTD, lengths_B)
        x_BDT = self.depthwise(x_BTD.transpose(1, 2))
        if isinstance(self.norm, GrowingBatchNorm):
            x_BTD = self.norm(x_BDT, lengths_B).transpose(1, 2)
        else:
            x_BTD = self.norm(x_BDT.transpose(1, 2))
        x_BTD = F.silu(x_BTD)
        if self.squeeze_excitation is not None:
            x_BTD = self.squeeze_excitation(x_BTD, lengths_B)
        return self.pointwise_out(x_BTD)
