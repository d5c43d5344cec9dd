"""Convolutions, then BLSTM layers with max-pooling over time (experiment ``start``).

Source: reference/models.md (b); i6_experiments exp_fs_base/start.py.
"""

# Dimensions: B batch, T frames, F feature, C channels, H LSTM units per direction
from typing import List, Optional, Sequence, Tuple

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.init import init_conv2d_
from espnet_ext.layers.lstm import Blstm
from espnet_ext.layers.same_padding import (
    max_pool_2d,
    max_pool_time,
    pooled_lengths,
)

ACTIVATIONS = {
    None: torch.nn.Identity(),
    "relu": torch.nn.ReLU(),
    "swish": torch.nn.SiLU(),
}


class ConvFront(torch.nn.Module):
    """3x3 convolutions over (time, feature), each with max-pooling over the feature.

    In the original there is no activation: the only non-linearity is the pooling. The
    output is flattened feature-major, then channel.
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int],
        feature_pooling: Sequence[int],
        time_pooling: Sequence[int],
        activation: Optional[str] = None,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"conv_activation {activation!r}: expected one of {list(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]
        if not len(channels) == len(feature_pooling) == len(time_pooling):
            raise ValueError(
                f"conv_channels {list(channels)}, conv_feature_pooling "
                f"{list(feature_pooling)} and conv_time_pooling {list(time_pooling)} "
                "must have the same length"
            )
        self.feature_pooling = list(feature_pooling)
        self.time_pooling = list(time_pooling)
        self.convolutions = torch.nn.ModuleList()
        self.output_size = input_size
        previous = 1
        for count, size in zip(channels, feature_pooling):
            self.convolutions.append(
                init_conv2d_(torch.nn.Conv2d(previous, count, 3, padding=1))
            )
            previous = count
            self.output_size = -(-self.output_size // size)
        self.output_size *= previous

    def forward(
        self, x_BTF: torch.Tensor, lengths_B: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] to [B, T', F' * C] and lengths; padded frames are not masked."""
        x = x_BTF.unsqueeze(1)
        for convolution, feature, time in zip(
            self.convolutions, self.feature_pooling, self.time_pooling
        ):
            x = max_pool_2d(self.activation(convolution(x)), time, feature)
            lengths_B = pooled_lengths(lengths_B, time)
        return x.permute(0, 2, 3, 1).flatten(2), lengths_B


def pooling_of_layers(time_pooling: Sequence[int], num_layers: int) -> List[int]:
    """Pooling factor after each of ``num_layers`` layers.

    Nothing is pooled after the last layer. If there are fewer places than factors, the
    remaining factors are multiplied into the last place: [3, 2] gives [6, 1] for two
    layers and [3, 2, 1] for three, so that the total reduction never changes.
    """
    if not time_pooling:
        return [1] * num_layers
    places = num_layers - 1
    if places < 1:
        raise ValueError(f"{num_layers} BLSTM layers: time pooling needs at least 2")
    factors = list(time_pooling[:places])
    for factor in time_pooling[places:]:
        factors[-1] *= factor
    return factors + [1] * (num_layers - len(factors))


def _norm(size: int, wanted: bool) -> torch.nn.Module:
    return torch.nn.LayerNorm(size) if wanted else torch.nn.Identity()


class ConvBlstmEncoder(AbsEncoder):
    """Encoder of the experiments ``start`` and ``orig`` (without growing width).

    Args:
        input_size: Feature dimension F.
        conv_channels: Channels of each 3x3 convolution; empty for none.
        conv_feature_pooling: Max-pooling over the feature after each convolution.
        conv_time_pooling: Max-pooling over time there; 1 in the original.
        conv_activation: After each convolution: relu, swish or None (original).
        num_layers: BLSTM layers when fully grown.
        hidden_size: Units per direction.
        time_pooling: Max-pooling over time after the first layers, SAME padding.
        dropout: Rate on the input of every BLSTM layer but the first.
        dropout_mask: ``shared`` (original) or ``elementwise``.
        layer_norm: LayerNorm on the output of the convolutions and of every BLSTM
            layer; off in the original.
        growth_start_layers: Active layers in the first epoch; None for no growth.
        growth_epochs_per_layer: Epochs after which one more layer is activated.
            Experiment ``start``: 2 layers, 2 sub-epochs each.

    All layers exist from the beginning; growth activates them from the bottom, so that
    checkpoints and optimizer state never change shape.
    """

    def __init__(
        self,
        input_size: int,
        conv_channels: Sequence[int] = (32, 32),
        conv_feature_pooling: Sequence[int] = (2, 2),
        conv_time_pooling: Optional[Sequence[int]] = None,
        conv_activation: Optional[str] = None,
        num_layers: int = 6,
        hidden_size: int = 1024,
        time_pooling: Sequence[int] = (3, 2),
        dropout: float = 0.3,
        dropout_mask: str = "shared",
        layer_norm: bool = False,
        growth_start_layers: Optional[int] = None,
        growth_epochs_per_layer: int = 2,
    ):
        super().__init__()
        self.conv_front = ConvFront(
            input_size,
            conv_channels,
            conv_feature_pooling,
            conv_time_pooling or [1] * len(conv_channels),
            conv_activation,
        )
        self.time_pooling = list(time_pooling)
        self.growth_start_layers = growth_start_layers
        self.growth_epochs_per_layer = growth_epochs_per_layer
        self.layers = torch.nn.ModuleList()
        size = self.conv_front.output_size
        self.norms = torch.nn.ModuleList()
        for _ in range(num_layers):
            self.norms.append(_norm(size, layer_norm))
            self.layers.append(Blstm(size, hidden_size))
            size = 2 * hidden_size
        self.norms.append(_norm(size, layer_norm))
        pooling_of_layers(self.time_pooling, growth_start_layers or num_layers)
        self.dropout = FeatureDropout(dropout, dropout_mask)
        self._output_size = size
        # A float, because n-best averaging adds up integer buffers instead of
        # averaging them.
        self.register_buffer("active_layers", torch.tensor(float(num_layers)))

    def output_size(self) -> int:
        """Dimension of the encoder frames: 2 H."""
        return self._output_size

    def layers_at_epoch(self, epoch: int) -> int:
        """Number of active layers in 1-based (sub-)epoch ``epoch``."""
        if self.growth_start_layers is None:
            return len(self.layers)
        grown = (epoch - 1) // self.growth_epochs_per_layer
        return min(self.growth_start_layers + grown, len(self.layers))

    def set_epoch(self, epoch: int) -> None:
        """Activate the layers of this (sub-)epoch; called by the trainer."""
        self.active_layers.fill_(float(self.layers_at_epoch(epoch)))

    def _num_active(self) -> int:
        active = float(self.active_layers)
        if active != int(active):
            raise ValueError(
                f"this checkpoint averages encoders of different depth (mean {active} "
                "layers): average only epochs after the growth is complete"
            )
        return int(active)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: Optional[torch.Tensor] = None,
    ) -> Tuple[torch.Tensor, torch.Tensor, Optional[torch.Tensor]]:
        """Features [B, T, F] and lengths [B] to frames [B, T', 2H] and lengths [B].

        T' = ceil(T / R), R the product of all time pooling (steps give the same count).
        Frames after the end of a sequence are exactly zero.
        """
        x, lengths = self.conv_front(xs_pad, ilens)
        active = self._num_active()
        pooling = pooling_of_layers(self.time_pooling, active)
        x = self.norms[0](x)
        for index, (layer, factor) in enumerate(zip(self.layers, pooling)):
            if index > 0:
                x = self.dropout(x)
            x = layer(x, lengths)
            x = self.norms[index + 1](max_pool_time(x, factor))
            lengths = pooled_lengths(lengths, factor)
        return x, lengths, None
