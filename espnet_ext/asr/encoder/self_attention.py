"""Multi-head self-attention with relative positions, as in returnn_common.

    score(t, s) = [(q_t + u) k_s + (q_t + v) p_{s-t}] / sqrt(K)     relative
    score(t, s) = [q_t k_s + q_t r_{clip(s-t)}] / sqrt(K)           shaw

Differs from ESPnet's ``RelPositionMultiHeadedAttention``: one fused projection whose
output is split into q, k and v inside every head, positions counted from query to key,
and the dropout mask over the keys shared by all heads, queries and sequences.

Ref: Dai et al. 2019 (Transformer-XL); Shaw et al. 2018.
Source: reference/models.md d.3, d.4.
"""

# Dimensions: B batch, T frames, D model, H heads, K size of a head
import math
from typing import NamedTuple, Optional

import torch

from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.gradient_scale import distance_factors, scale_gradient
from espnet_ext.layers.growing import Axis, GrowingLinear, GrowingModule, fixed
from espnet_ext.layers.init import uniform_limit
from espnet_ext.layers.relative_positions import (
    clipped_offsets,
    pair_by_offset,
    short_table,
)

POSITIONS = ("relative", "shaw")
POSITION_ROWS = ("as_read", "all")
SHAW_INITS = ("zero", "glorot")
WINDOWS = ("ineffective", "training", "always")


class AttentionOptions(NamedTuple):
    """Options of SelfAttention; see StagedConformerEncoder for their meaning."""

    positions: str = "relative"
    position_clip: int = 16
    position_rows: str = "as_read"
    shaw_init: str = "zero"
    init: str = "glorot"
    bias: bool = True
    dropout: float = 0.0
    dropout_mask: str = "shared"
    qkv_init_scale: float = 1.0
    growth_parts: str = "blocks"
    window_size: Optional[int] = None
    window: str = "ineffective"
    gradient_decay: float = 0.0
    gradient_dropout: float = 0.0
    gradient_reset: float = 0.0


def window_mask(frames: int, size: int, device=None) -> torch.Tensor:
    """Keys outside of t - size // 2 <= s < t - size // 2 + size, boolean [T, T]."""
    positions = torch.arange(frames, device=device)
    distance = positions - positions.unsqueeze(1) + size // 2
    return (distance < 0) | (distance >= size)


class SelfAttention(GrowingModule):
    """Self-attention over one sequence, or inside one window.

    Args:
        size: D, a multiple of ``heads``.
        heads: H.
        options: See AttentionOptions.
    """

    def __init__(self, size: int, heads: int, options: AttentionOptions):
        super().__init__()
        if size % heads:
            raise ValueError(f"model_size {size} is not a multiple of {heads} heads")
        if options.positions not in POSITIONS:
            raise ValueError(
                f"positions {options.positions!r}: expected one of {POSITIONS}"
            )
        if options.position_rows not in POSITION_ROWS:
            raise ValueError(
                f"position_rows {options.position_rows!r}: "
                f"expected one of {POSITION_ROWS}"
            )
        if options.shaw_init not in SHAW_INITS:
            raise ValueError(
                f"shaw_init {options.shaw_init!r}: expected one of {SHAW_INITS}"
            )
        if options.window not in WINDOWS:
            raise ValueError(
                f"attention_window {options.window!r}: expected one of {WINDOWS}"
            )
        if options.window_size is not None and options.window_size < 1:
            raise ValueError(
                f"attention_window_size {options.window_size}: expected at least 1"
            )
        self.heads = heads
        self.options = options
        model = Axis("model", size)
        head = Axis("head", size // heads)
        if options.growth_parts == "heads":
            qkv, inner = Axis("head", 3 * size, 3 * heads), Axis("head", size, heads)
        else:  # three blocks, although each head has its own q, k and v
            qkv, inner = Axis("model", 3 * size, 3), model
        scale = options.qkv_init_scale
        self.qkv = GrowingLinear(model, qkv, options.bias, scale, options.init)
        self.proj = GrowingLinear(inner, model, options.bias, init=options.init)
        self.dropout = FeatureDropout(options.dropout, options.dropout_mask)
        if options.positions == "shaw":
            rows = 2 * options.position_clip + 1
            self.position_table = torch.nn.Parameter(torch.zeros(rows, head.size))
            self.axes = {"position_table": (fixed(rows), head)}
        else:
            self.linear_pos = GrowingLinear(model, inner, bias=False, init=options.init)
            self.pos_bias_u = torch.nn.Parameter(torch.empty(heads, head.size))
            self.pos_bias_v = torch.nn.Parameter(torch.empty(heads, head.size))
            self.axes = {
                name: (fixed(heads), head) for name in ("pos_bias_u", "pos_bias_v")
            }
        self.initialise([{}])

    def initialise(self, stages) -> None:
        """Biases and learned positions, as if created in the first stage that uses
        them; the original's new layer leaves the positions at zero.
        """
        options = self.options
        if options.positions == "relative":
            names = ["pos_bias_u", "pos_bias_v"]
        else:
            names = ["position_table"] if options.shaw_init == "glorot" else []
        for name in names:
            self.draw(
                name,
                stages,
                lambda rows, size: uniform_limit(rows, size, options.init),
            )

    def _scores(self, q_BHTK, k_BHTK, positions) -> torch.Tensor:
        if self.options.positions == "shaw":
            scores = q_BHTK @ k_BHTK.transpose(2, 3)
            rows_TT = clipped_offsets(
                q_BHTK.size(2), self.options.position_clip, q_BHTK.device
            )
            table = self.used("position_table").to(q_BHTK.dtype)
            if self.options.position_rows == "as_read":
                table = short_table(table, q_BHTK.size(2))
            by_row = q_BHTK @ table.t()
            by_key = by_row.gather(3, rows_TT.expand(*scores.shape[:2], -1, -1))
            return scores + by_key
        u, v = self.used("pos_bias_u"), self.used("pos_bias_v")
        p_HNK = (
            self.linear_pos(positions).unflatten(1, (self.heads, -1)).transpose(0, 1)
        )
        content = (q_BHTK + u.unsqueeze(1)) @ k_BHTK.transpose(2, 3)
        by_offset = (q_BHTK + v.unsqueeze(1)) @ p_HNK.transpose(1, 2)
        return content + pair_by_offset(by_offset)

    def _outside(
        self, frames: int, lengths_B: Optional[torch.Tensor], device
    ) -> Optional[torch.Tensor]:
        """Where no weight may go, broadcast to [B, 1, T, T]; None for nowhere."""
        outside = None
        if lengths_B is not None:
            keys_T = torch.arange(frames, device=device)
            lengths_B1 = lengths_B.to(device).clamp(min=1).unsqueeze(1)
            outside = (keys_T >= lengths_B1)[:, None, None]
        options = self.options
        wanted = options.window == "always" or (
            options.window == "training" and self.training
        )
        if options.window_size is None or not wanted:
            return outside
        far = window_mask(frames, options.window_size, device)
        if outside is None:
            return far
        # a query beyond the end may have no key left: it then keeps all valid ones
        both = outside | far
        return torch.where(both.all(-1, keepdim=True), outside.expand_as(both), both)

    def forward(
        self,
        x_BTD: torch.Tensor,
        lengths_B: Optional[torch.Tensor] = None,
        positions_ND: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Attention over the valid frames: [B, T, D] to [B, T, D].

        Args:
            x_BTD: Frames.
            lengths_B: Valid frames as keys; None: all of them.
            positions_ND: ``sinusoid_table`` of 2T - 1 rows; not used by ``shaw``.
        """
        frames = x_BTD.size(1)
        qkv = self.qkv(x_BTD).unflatten(2, (self.heads, -1)).transpose(1, 2)
        q, k, v = qkv.chunk(3, dim=3)
        scores = self._scores(q, k, positions_ND) / math.sqrt(q.size(3))
        options = self.options
        if options.gradient_decay > 0.0 and torch.is_grad_enabled():
            factors = distance_factors(
                frames,
                options.gradient_decay,
                options.gradient_dropout if self.training else 0.0,
                options.gradient_reset if self.training else 0.0,
                x_BTD.device,
            )
            scores = scale_gradient(scores, factors.to(scores.dtype))
        outside = self._outside(frames, lengths_B, x_BTD.device)
        if outside is not None:
            scores = scores.masked_fill(outside, float("-inf"))
        weights = self.dropout(scores.softmax(dim=3))
        return self.proj((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))
