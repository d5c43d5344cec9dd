"""Convolutions, then BLSTM layers with max-pooling over time (``start``, ``orig``).

Source: reference/models.md (a), (b); i6_experiments exp_fs_base/start.py.
"""

# Dimensions: B batch, T frames, F feature, D frame, H LSTM units per direction
import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_ext.asr.encoder.conv_front import ConvFront
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import (
    Axis,
    fixed,
    initialise,
    set_sizes,
    used_entries,
)
from espnet_ext.layers.lstm import Blstm
from espnet_ext.layers.same_padding import max_pool_time, pooled_lengths
from espnet_ext.layers.weight_noise import WeightNoise

GROWTH_COPIES = ("blocks", "halves")


def _normalised(norm: torch.nn.Module, x_BTD: torch.Tensor) -> torch.Tensor:
    """As ``norm``, which would copy tensors whose outer dimension is T in memory."""
    x_TBD = x_BTD.transpose(0, 1)
    if x_BTD.is_contiguous() or not x_TBD.is_contiguous():
        return norm(x_BTD)
    return norm(x_TBD).transpose(0, 1)


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


class BlstmStage(NamedTuple):
    """What is in use in one growing stage.

    Attributes:
        layers: Number of layers, from the bottom.
        fraction: Of the width and the dropout rate.
        units: Of each direction.
    """

    layers: int
    fraction: float
    units: int

    def sizes(self) -> Dict[str, int]:
        """For ``GrowingModule.set_sizes``."""
        return {"lstm": self.units, "frames": 2 * self.units}


def blstm_stages(
    num_layers: int,
    hidden_size: int,
    start_layers: Optional[int],
    start_fraction: float,
) -> List[BlstmStage]:
    """One stage a layer: with n of N layers, beginning with n_0, the fraction is
    start + (1 - start) (1 - (N - n) / (N - n_0)).
    """
    first = num_layers if start_layers is None else min(start_layers, num_layers)
    stages = []
    for layers in range(first, num_layers + 1):
        grown = 1.0 - (num_layers - layers) / max(num_layers - first, 1)
        fraction = start_fraction + (1.0 - start_fraction) * grown
        if layers == num_layers:
            fraction = 1.0
        stages.append(BlstmStage(layers, fraction, int(hidden_size * fraction)))
    return stages


def _norm(size: int, wanted: bool) -> torch.nn.Module:
    return torch.nn.LayerNorm(size) if wanted else torch.nn.Identity()


class ConvBlstmEncoder(AbsEncoder):
    """Encoder of the experiments ``start`` and ``orig``.

    Args:
        input_size: Feature dimension F.
        conv_channels: Channels of each 3x3 convolution; empty for none.
        conv_feature_pooling: Max-pooling over the feature after each convolution.
        conv_time_pooling: Max-pooling over time there; 1 in the original.
        conv_activation: After each convolution: relu, swish or None (original).
        num_layers: BLSTM layers when fully grown.
        hidden_size: Units per direction when fully grown.
        time_pooling: Max-pooling over time after the first layers, SAME padding.
        dropout: Rate on the input of every BLSTM layer but the first.
        dropout_mask: ``shared`` (original) or ``elementwise``.
        layer_norm: LayerNorm on the output of the convolutions and of every BLSTM
            layer; off in the original.
        growth_start_layers: Active layers in the first epoch; None for no growth.
        growth_epochs_per_layer: Epochs after which one more layer is activated.
            Experiment ``start``: 2 layers, 2 sub-epochs each.
        growth_start_fraction: Of width and dropout in the first stage; 1: they do not
            grow. ``orig``: 0.5.
        growth_copy: Where the inputs of an LSTM layer are while it grows: as one
            leading ``blocks`` of its weights, which mixes up the directions at each
            stage (original), or ``halves``, one for each direction.
        weight_noise_std: Of the noise on LSTM weights in training.
        weight_dropout: Dropout on these weights in training.
        weight_noise_each: Both are drawn anew in each ``batch`` or each ``update``.

    All parameters exist from the beginning; growth activates layers from the bottom and
    the leading part of each, so that checkpoints and optimizer state never change
    shape. The output always has 2 H features; those not in use are zero, behind the
    others (``blocks``) or behind those of each direction (``halves``).
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
        growth_start_fraction: float = 1.0,
        growth_copy: str = "blocks",
        weight_noise_std: float = 0.0,
        weight_dropout: float = 0.0,
        weight_noise_each: str = "batch",
    ):
        super().__init__()
        if growth_copy not in GROWTH_COPIES:
            raise ValueError(
                f"growth_copy {growth_copy!r}: expected one of {GROWTH_COPIES}"
            )
        if not 0.0 < growth_start_fraction <= 1.0:
            raise ValueError(
                f"growth_start_fraction {growth_start_fraction}: expected 0 < f <= 1"
            )
        if layer_norm and growth_start_fraction < 1.0:
            raise ValueError("layer_norm and a growing width exclude each other")
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
        self.growth_copy = growth_copy
        self.weight_noise = WeightNoise(
            weight_noise_std, weight_dropout, weight_noise_each
        )
        self.hidden_size = hidden_size
        size = self.conv_front.output_size
        self.layers = torch.nn.ModuleList()
        self.norms = torch.nn.ModuleList()
        for number in range(num_layers):
            self.norms.append(_norm(size, layer_norm))
            in_axis = self.frame_axis() if number else fixed(size)
            self.layers.append(Blstm(size, hidden_size, in_axis, "lstm"))
            size = 2 * hidden_size
        self.norms.append(_norm(size, layer_norm))
        pooling_of_layers(self.time_pooling, growth_start_layers or num_layers)
        self.dropout = FeatureDropout(dropout, dropout_mask)
        self.full_dropout = dropout
        self.stages = blstm_stages(
            num_layers, hidden_size, growth_start_layers, growth_start_fraction
        )
        if growth_start_fraction < 1.0:
            initialise(self, [stage.sizes() for stage in self.stages])
        # A float, because n-best averaging adds up integer buffers instead of
        # averaging them.
        self.register_buffer("active_layers", torch.tensor(float(num_layers)))
        self._stage = self.stages[-1]

    def output_size(self) -> int:
        """Dimension of the encoder frames: 2 H."""
        return 2 * self.hidden_size

    @property
    def reduction(self) -> int:
        """Input frames of one output frame."""
        return math.prod([*self.conv_front.time_pooling, *self.time_pooling])

    def frame_axis(self, count: int = 1) -> Axis:
        """Axis of a weight that meets ``count`` concatenated frames."""
        if self.growth_copy == "blocks":
            return Axis("frames", count * 2 * self.hidden_size, count)
        return Axis("lstm", count * 2 * self.hidden_size, count * 2)

    def layers_at_epoch(self, epoch: int) -> int:
        """Number of active layers in 1-based (sub-)epoch ``epoch``."""
        grown = (epoch - 1) // self.growth_epochs_per_layer
        return self.stages[min(grown, len(self.stages) - 1)].layers

    def set_epoch(self, epoch: int) -> None:
        """Activate the layers of this (sub-)epoch; called by the trainer."""
        self.active_layers.fill_(float(self.layers_at_epoch(epoch)))
        self._follow_active_layers()

    @property
    def stage(self) -> BlstmStage:
        """The growing stage in use."""
        self._follow_active_layers()
        return self._stage

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """What is in use of each parameter now, see ``layers.growing``."""
        masks = used_entries(self, self.stage.sizes())
        for name, mask in masks.items():
            number = int(name.split(".")[1])
            if number >= self._stage.layers:
                mask.fill_(False)
        return masks

    def _follow_active_layers(self) -> None:
        """Enter the stage that the buffer, perhaps loaded, stands for."""
        active = float(self.active_layers)
        if active == self._stage.layers:
            return
        for stage in self.stages:
            if stage.layers == active:
                self._stage = stage
                set_sizes(self, stage.sizes() if stage is not self.stages[-1] else {})
                self.dropout.rate = self.full_dropout * stage.fraction
                return
        what = f"has {active:g} active layers"
        if active != int(active):
            what = f"averages encoders of different depth (mean {active} layers)"
        raise ValueError(
            f"this checkpoint {what}; the growing stages here have "
            f"{[stage.layers for stage in self.stages]}: average only epochs after the "
            "growth is complete, and use the growth options of the training"
        )

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: Optional[torch.Tensor] = None,
        perturb: bool = True,
    ) -> Tuple[torch.Tensor, torch.Tensor, Optional[torch.Tensor]]:
        """Features [B, T, F] and lengths [B] to frames [B, T', 2H] and lengths [B].

        T' = ceil(T / R), R the product of all time pooling (steps give the same count).
        Frames after the end of a sequence are exactly zero. ``perturb``: apply weight
        noise and weight dropout in training.
        """
        if perturb and self.weight_noise.wanted:
            weights = self.weight_noise.weights(self)
            arguments = (xs_pad, ilens, prev_states, False)
            return torch.func.functional_call(self, weights, arguments)
        x, lengths = self.conv_front(xs_pad, ilens)
        stage = self.stage
        pooling = pooling_of_layers(self.time_pooling, stage.layers)
        x = _normalised(self.norms[0], x)
        for index, (layer, factor) in enumerate(zip(self.layers, pooling)):
            if index > 0:
                x = self.dropout(x)
            x = layer(x, lengths)
            x = _normalised(self.norms[index + 1], max_pool_time(x, factor))
            lengths = pooled_lengths(lengths, factor)
        return self._full_width(x).contiguous(), lengths, None

    def _full_width(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Zeros for the features that are not in use."""
        missing = self.output_size() - x_BTD.size(2)
        if not missing:
            return x_BTD
        if self.growth_copy == "blocks":
            return torch.nn.functional.pad(x_BTD, (0, missing))
        halves = x_BTD.unflatten(2, (2, -1))
        return torch.nn.functional.pad(halves, (0, missing // 2)).flatten(2)
