"""One Conformer layer in the forms of the original.

    x1 = x  + 1/2 drop(FF1(LN(x)))
    x2 = x1 + drop*(MHSA(LN(x1)))
    x3 = x2 + drop(Conv(LN(x2)))
    x4 = x3 + 1/2 drop(FF2(LN(x3)))
    y  = LN(x4)

drop* is missing in the early experiments ("245").

Ref: Gulati et al. 2020. Source: reference/models.md d.1, d.4 (nores), h.
"""

# Dimensions: B batch, T frames, D model
from typing import NamedTuple, Optional

import torch

from espnet_ext.asr.encoder.conformer_parts import ConvolutionModule, FeedForward
from espnet_ext.asr.encoder.self_attention import AttentionOptions, SelfAttention
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import Axis, GrowingLayerNorm

RESIDUALS = ("all", "attention_only")
BLOCKS = ("standard", "double_convolution")


class LayerOptions(NamedTuple):
    """Options of ConformerLayer; see StagedConformerEncoder for their meaning."""

    size: int
    feed_forward_size: int
    heads: int
    kernel_size: int = 32
    conv_norm: str = "batch_norm"
    dropout: float = 0.1
    dropout_mask: str = "shared"
    feed_forward_dropout: str = "whole_module"
    attention_residual_dropout: bool = False
    residual: str = "all"
    squeeze_excitation: Optional[int] = None
    hide_padding: bool = False
    block: str = "standard"
    init: str = "glorot"
    conv_norm_updates_in_evaluation: bool = False
    attention: AttentionOptions = AttentionOptions()


class ConformerLayer(torch.nn.Module):
    """Feed-forward, self-attention, convolution, feed-forward, layer norm.

    With ``block`` double_convolution there is a convolution module before and one after
    the attention, both added by half. With ``residual`` attention_only there is a
    residual around the attention alone, no factors 1/2 and no last norm.
    """

    def __init__(self, options: LayerOptions):
        super().__init__()
        for name, value, allowed in (
            ("residual", options.residual, RESIDUALS),
            ("block", options.block, BLOCKS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} {value!r}: expected one of {allowed}")
        self.options = options
        self.double = options.block == "double_convolution"
        self.residual = options.residual == "all"
        model = Axis("model", options.size)
        self.ffn1_norm = GrowingLayerNorm(model)
        self.ffn1 = self._feed_forward()
        if self.double:
            self.first_conv_norm = GrowingLayerNorm(model)
            self.first_conv = self._convolution()
        self.attention_norm = GrowingLayerNorm(model)
        self.attention = SelfAttention(options.size, options.heads, options.attention)
        self.conv_norm = GrowingLayerNorm(model)
        self.conv = self._convolution()
        self.ffn2_norm = GrowingLayerNorm(model)
        self.ffn2 = self._feed_forward()
        if self.residual:
            self.final_norm = GrowingLayerNorm(model)
        self.dropout = FeatureDropout(options.dropout, options.dropout_mask)
        rate = options.dropout if options.attention_residual_dropout else 0.0
        self.attention_residual_dropout = FeatureDropout(rate, options.dropout_mask)

    def _feed_forward(self) -> FeedForward:
        options = self.options
        return FeedForward(
            options.size,
            options.feed_forward_size,
            options.dropout,
            options.feed_forward_dropout,
            options.init,
        )

    def _convolution(self) -> ConvolutionModule:
        options = self.options
        return ConvolutionModule(
            options.size,
            options.kernel_size,
            options.conv_norm,
            options.squeeze_excitation,
            options.hide_padding,
            options.init,
            options.conv_norm_updates_in_evaluation,
        )

    def _add(self, x_BTD, branch_BTD, factor: float) -> torch.Tensor:
        if not self.residual:
            return branch_BTD
        return x_BTD + factor * branch_BTD

    def forward(
        self,
        x_BTD: torch.Tensor,
        lengths_B: Optional[torch.Tensor] = None,
        positions_ND: Optional[torch.Tensor] = None,
        branch_factor: float = 1.0,
    ) -> torch.Tensor:
        """[B, T, D] to [B, T, D].

        Args:
            x_BTD: Frames.
            lengths_B: Valid frames; None: all.
            positions_ND: Encodings of relative positions, with their dropout.
            branch_factor: Scale of the residual branches (stochastic depth).
        """
        drop, half = self.dropout, 0.5 * branch_factor
        x = self._add(x_BTD, drop(self.ffn1(self.ffn1_norm(x_BTD))), half)
        if self.double:
            first = self.first_conv(self.first_conv_norm(x), lengths_B)
            x = self._add(x, drop(first), half)
        attended = self.attention(self.attention_norm(x), lengths_B, positions_ND)
        x = x + branch_factor * self.attention_residual_dropout(attended)
        convolved = drop(self.conv(self.conv_norm(x), lengths_B))
        x = self._add(x, convolved, half if self.double else branch_factor)
        x = self._add(x, drop(self.ffn2(self.ffn2_norm(x))), half)
        return self.final_norm(x) if self.residual else x
