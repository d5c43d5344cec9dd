"""Attention of each encoder frame over its neighbours (``attwb5``: 5 frames).

Query and keys both come from the encoder, so the result depends on the frame alone and
is computed once per utterance, in training and in search.

Source: reference/models.md (a) "local windowed attention" and (b).
"""

# Dimensions: B batch, T frames, D encoder, K key, W window
from typing import Dict, List, Optional

import torch
import torch.nn.functional as F

from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.evaluation import product, zero_after_
from espnet_ext.layers.init import init_linear_

SCALES = ("window_size", "key_size")


class WindowAttention(torch.nn.Module):
    """Single-head dot-product attention over ``window_size`` frames around each frame.

    Args:
        encoder_size: D.
        key_size: K.
        window_size: W; the frame itself is at index (W - 1) // 2.
        key_dropout: Rate on the input of the key projection.
        weight_dropout: Rate on the attention weights, every element independently.
        scale: Energies are multiplied by ``window_size`` ** -0.5 (what the original's
            expression amounts to, see reference/models.md b) or ``key_size`` ** -0.5.
        key_bias: The key projection has a bias (``start`` yes, ``orig`` no).
        padding: ``visible``: frames after the end of a sequence are attended to like
            any other (the original; the result depends on the batch). ``zero``: they
            look like the frames before the first one: zero key, zero value.
        dropout_mask: Mask of the key dropout, see FeatureDropout.
    """

    def __init__(
        self,
        encoder_size: int,
        key_size: int = 200,
        window_size: int = 5,
        key_dropout: float = 0.2,
        weight_dropout: float = 0.1,
        scale: str = "key_size",
        key_bias: bool = True,
        padding: str = "zero",
        dropout_mask: str = "shared",
    ):
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"attention scale {scale!r}: expected one of {SCALES}")
        if padding not in ("visible", "zero"):
            raise ValueError(f"padding {padding!r}: expected 'visible' or 'zero'")
        self.window_size = window_size
        self.padding = padding
        self.weight_dropout = weight_dropout
        self.energy_factor = (window_size if scale == "window_size" else key_size) ** (
            -0.5
        )
        self.key = init_linear_(torch.nn.Linear(encoder_size, key_size, bias=key_bias))
        self.query = init_linear_(torch.nn.Linear(encoder_size, key_size, bias=False))
        self.key_dropout = FeatureDropout(key_dropout, dropout_mask)

    def _shifted(self, x_BTD: torch.Tensor) -> List[torch.Tensor]:
        """Frames t - 2, .., t + 2 of each t, zeros outside: W views [B, T, D].

        Five products of whole tensors are four to six times as fast as one product
        with all windows, which have to be copied for it.
        """
        left = (self.window_size - 1) // 2
        padded = F.pad(x_BTD, (0, 0, left, self.window_size - 1 - left))
        return [padded[:, w : w + x_BTD.size(1)] for w in range(self.window_size)]

    def used_columns(self, size: int) -> Dict[str, torch.Tensor]:
        """Columns of the weights in use while ``size`` features of the frames are.

        As the original copies them when the encoder grows: the keys' weights half by
        half (forward and backward direction), the queries' as one block.
        """
        halves = torch.arange(self.key.in_features).view(2, -1)[:, : size // 2]
        return {"key": halves.flatten(), "query": torch.arange(size)}

    def forward(
        self,
        frames_BTD: torch.Tensor,
        lengths_B: Optional[torch.Tensor] = None,
        size: Optional[int] = None,
    ) -> torch.Tensor:
        """Context vectors [B, T, D]; zero keys have energy 0 and are not masked.

        Args:
            frames_BTD: Encoder frames; with ``size``, of that many features.
            lengths_B: Valid frames.
            size: Features in use while the encoder grows; None for all.
        """
        weights = self._used_weights(size)
        keys = F.linear(self.key_dropout(frames_BTD), weights["key"], self.key.bias)
        values = frames_BTD
        if self.padding == "zero" and lengths_B is not None:
            frames_T = torch.arange(frames_BTD.size(1), device=frames_BTD.device)
            padded_BT = frames_T >= lengths_B.to(frames_BTD.device).unsqueeze(1)
            keys = keys.masked_fill(padded_BT.unsqueeze(2), 0.0)
            values = values.masked_fill(padded_BT.unsqueeze(2), 0.0)
        queries = F.linear(frames_BTD, weights["query"])
        return self._average(queries, keys, values)

    def _used_weights(self, size: Optional[int]) -> Dict[str, torch.Tensor]:
        weights = {"key": self.key.weight, "query": self.query.weight}
        if size is not None:
            for name, columns in self.used_columns(size).items():
                weight = weights[name]
                weights[name] = weight[:, columns.to(weight.device)]
        return weights

    def _average(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        start: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Attended values, all [B, T, ..]; added to ``start``, if given."""
        energies = [(queries * key).sum(2) for key in self._shifted(keys)]
        energies_BTW = torch.stack(energies, dim=2) * self.energy_factor
        weights_BTW = energies_BTW.softmax(dim=2)
        weights_BTW = F.dropout(weights_BTW, self.weight_dropout, self.training)
        context = torch.zeros_like(values) if start is None else start
        for w, value in enumerate(self._shifted(values)):
            context = torch.addcmul(context, value, weights_BTW[..., w : w + 1])
        return context

    def projected(
        self,
        frames_BTD: torch.Tensor,
        lengths_B: Optional[torch.Tensor],
        weight_RD: torch.Tensor,
        size: Optional[int] = None,
    ) -> torch.Tensor:
        """weight [frames, context], [B, T, R], in evaluation: no gradient, no dropout.

        One product gives keys, queries and both halves of the projection; then the
        projected frames are averaged instead of the frames.

        Args:
            frames_BTD: As for ``forward``.
            lengths_B: As for ``forward``.
            weight_RD: [R, 2 D].
            size: As for ``forward``.
        """
        used = self._used_weights(size)
        weights = [used["key"], used["query"], *weight_RD.chunk(2, dim=1)]
        y = product(frames_BTD, torch.cat(weights))
        keys, queries, own, values = y.split([len(weight) for weight in weights], 2)
        if self.key.bias is not None:
            keys += self.key.bias
        if self.padding == "zero" and lengths_B is not None:
            zero_after_(keys, lengths_B)
            zero_after_(values, lengths_B)
        return self._average(queries, keys, values, own)
