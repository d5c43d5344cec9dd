"""What stands between the features and the Conformer layers: time reduction by 6.

    conv          3x3 to 32, strides (2, 2), ReLU; 5x5 to 64, strides (3, 3), ReLU
    strided_conv  3x3 to 32, pooling 2 over features; 3x3 to 64, time stride 2; 3x3 to
                  64, time stride 3; no activations (``convwei``)
    swish_conv    3x3 to 32, pooling 2 over features; 3x3 to 64; 3x3 to 64, time stride
                  2; 3x3 to 32, time stride 3; swish (``old_moh_hybrid_conformer``)
    vgg           3x3 to 32, pooling 2 over features; 3x3 to 64 and 3x3 to 64, time
                  stride 2 each; swish: time is reduced by 4 (framewise VGG-Conformer)
    blstm         BLSTM layers, max-pooling over time after each (``blstmf*``)
    conv_blstm    two 3x3 convolutions with pooling 2 over features in front of that
                  (``cnnblstmf``, ``cnnblstmf2``)

With 40 features the outputs have 448, 1280, 640, 1024 and 1024 dimensions. The
numbers of channels are an option of all but blstm, the time strides of those that have
convolutions only: ``time_strides`` [1, 1, 3, 1] with swish_conv reduces time by 3. The
reference tells layers and strides of vgg, but not its activation.
All paddings are TensorFlow's SAME; padded frames are seen as they are, unless
``hide_padding``.

Source: reference/models.md (c), (h); reference/parts.md 2.3.
"""

# Dimensions: B batch, T frames, F feature, C channels
import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from espnet_ext.asr.encoder.conformer_parts import zero_padding
from espnet_ext.asr.encoder.conv_front import ACTIVATIONS, ConvFront
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import Axis, fixed
from espnet_ext.layers.init import init_conv2d_
from espnet_ext.layers.lstm import Blstm
from espnet_ext.layers.same_padding import (
    max_pool_2d,
    max_pool_time,
    pooled_lengths,
    same_padding,
)

Frames = Tuple[torch.Tensor, torch.Tensor]


class Conv2dLayer(NamedTuple):
    """One convolution over (time, feature), square kernel, then pooling of features."""

    channels: int
    kernel: int = 3
    time_stride: int = 1
    feature_stride: int = 1
    feature_pooling: int = 1


CONV_LAYERS: Dict[str, Sequence[Conv2dLayer]] = {
    "conv": (Conv2dLayer(32, 3, 2, 2), Conv2dLayer(64, 5, 3, 3)),
    "strided_conv": (
        Conv2dLayer(32, feature_pooling=2),
        Conv2dLayer(64, time_stride=2),
        Conv2dLayer(64, time_stride=3),
    ),
    "swish_conv": (
        Conv2dLayer(32, feature_pooling=2),
        Conv2dLayer(64),
        Conv2dLayer(64, time_stride=2),
        Conv2dLayer(32, time_stride=3),
    ),
    "vgg": (
        Conv2dLayer(32, feature_pooling=2),
        Conv2dLayer(64, time_stride=2),
        Conv2dLayer(64, time_stride=2),
    ),
}
CONV_ACTIVATIONS = {
    **{"conv": "relu", "strided_conv": None},
    **dict.fromkeys(("swish_conv", "vgg"), "swish"),
}
BLSTM_TYPES = ("blstm", "conv_blstm")
TYPES = (*CONV_LAYERS, *BLSTM_TYPES)


class ConvFrontend(torch.nn.Module):
    """Convolutions with strides; the output is flattened feature-major.

    Args:
        input_size: F.
        layers: One entry a convolution.
        activation: After each of them: relu, swish or None.
        hide_padding: Frames after the end are zero for every convolution.
    """

    def __init__(
        self,
        input_size: int,
        layers: Sequence[Conv2dLayer],
        activation: Optional[str],
        hide_padding: bool = False,
    ):
        super().__init__()
        self.specifications = list(layers)
        self.activation = ACTIVATIONS[activation]
        self.hide_padding = hide_padding
        self.convolutions = torch.nn.ModuleList()
        features, previous = input_size, 1
        for layer in layers:
            strides = (layer.time_stride, layer.feature_stride)
            convolution = torch.nn.Conv2d(
                previous, layer.channels, layer.kernel, stride=strides
            )
            self.convolutions.append(init_conv2d_(convolution))
            previous = layer.channels
            features = -(-features // layer.feature_stride)
            features = -(-features // layer.feature_pooling)
        self.output_size = features * previous
        self.out_axis, self.growing_size = fixed(self.output_size), 0

    @property
    def reduction(self) -> int:
        """Input frames of one output frame."""
        return math.prod(layer.time_stride for layer in self.specifications)

    def context(self) -> Tuple[int, int]:
        """Input frames seen before and after the ``reduction`` of an output frame.

        For inputs whose length is a multiple of ``reduction``.
        """
        before = after = 0
        step = 1
        for layer in self.specifications:
            left, right = same_padding(
                layer.time_stride, layer.kernel, layer.time_stride
            )
            before += step * left
            after += step * right
            step *= layer.time_stride
        return before, after

    def forward(self, x_BTF: torch.Tensor, lengths_B: torch.Tensor) -> Frames:
        """[B, T, F] to [B, T', F' C] and lengths."""
        x = x_BTF.unsqueeze(1)
        for layer, convolution in zip(self.specifications, self.convolutions):
            if self.hide_padding:
                flat = zero_padding(x.transpose(1, 2).flatten(2), lengths_B)
                x = flat.unflatten(2, (x.size(1), -1)).transpose(1, 2)
            padding = (
                *same_padding(x.size(3), layer.kernel, layer.feature_stride),
                *same_padding(x.size(2), layer.kernel, layer.time_stride),
            )
            x = self.activation(convolution(torch.nn.functional.pad(x, padding)))
            x = max_pool_2d(x, 1, layer.feature_pooling)
            lengths_B = pooled_lengths(lengths_B, layer.time_stride)
        return x.permute(0, 2, 3, 1).flatten(2), lengths_B


class BlstmFrontend(torch.nn.Module):
    """Optionally convolutions, then BLSTM layers, each followed by max-pooling.

    Args:
        input_size: F.
        conv_channels: Channels of each 3x3 convolution; none by default.
        conv_feature_pooling: Max-pooling over the feature after each of them.
        hidden_size: Units per direction.
        time_pooling: Factor after each BLSTM layer; its length is their number.
        dropout: Between the BLSTM layers.
        dropout_mask: See FeatureDropout.
        hide_padding: Frames after the end are zero for the convolutions.
        growing: Its units grow with the encoder; each layer's inputs as one block.
    """

    def __init__(
        self,
        input_size: int,
        conv_channels: Sequence[int] = (),
        conv_feature_pooling: Sequence[int] = (),
        hidden_size: int = 512,
        time_pooling: Sequence[int] = (3, 2),
        dropout: float = 0.1,
        dropout_mask: str = "shared",
        hide_padding: bool = False,
        growing: bool = False,
    ):
        super().__init__()
        self.hide_padding = hide_padding
        self.growing_size = hidden_size if growing else 0
        self.time_pooling = list(time_pooling)
        size = input_size
        self.conv_front = None
        if conv_channels:
            self.conv_front = ConvFront(
                input_size,
                conv_channels,
                conv_feature_pooling or [2] * len(conv_channels),
                [1] * len(conv_channels),
            )
            size = self.conv_front.output_size
        self.layers = torch.nn.ModuleList()
        kind = "lstm" if growing else None
        in_axis = fixed(size)
        for _ in time_pooling:
            self.layers.append(Blstm(size, hidden_size, in_axis, kind))
            size = 2 * hidden_size
            in_axis = Axis("frames", size) if growing else fixed(size)
        self.out_axis = in_axis
        self.dropout = FeatureDropout(dropout, dropout_mask)
        self.output_size = size

    @property
    def reduction(self) -> int:
        """Input frames of one output frame."""
        return math.prod(self.time_pooling)

    def forward(self, x_BTF: torch.Tensor, lengths_B: torch.Tensor) -> Frames:
        """[B, T, F] to [B, T', 2H] and lengths."""
        x = x_BTF
        if self.conv_front is not None:
            if self.hide_padding:
                x = zero_padding(x, lengths_B)
            x, lengths_B = self.conv_front(x, lengths_B)
        for number, (layer, factor) in enumerate(zip(self.layers, self.time_pooling)):
            if number > 0:
                x = self.dropout(x)
            x = max_pool_time(layer(x, lengths_B), factor)
            lengths_B = pooled_lengths(lengths_B, factor)
        return x, lengths_B


def option_names(name: str) -> List[str]:
    """Options of a type of frontend."""
    if name == "blstm":
        return ["hidden_size", "time_pooling", "dropout"]
    if name == "conv_blstm":
        return [*option_names("blstm"), "conv_channels", "conv_feature_pooling"]
    return ["conv_channels", "time_strides"]


def build_frontend(
    input_size: int,
    options: Dict,
    dropout: float,
    dropout_mask: str,
    hide_padding: bool,
    growing: bool = False,
) -> torch.nn.Module:
    """Frontend from its options in a configuration.

    Args:
        input_size: F.
        options: ``type`` and the options of that type (see the module's table).
        dropout: Default of the BLSTM frontends.
        dropout_mask: See FeatureDropout.
        hide_padding: See the module.
        growing: The units of a BLSTM frontend grow with the encoder.
    """
    options = dict(options)
    name = options.pop("type", "conv")
    if name not in TYPES:
        raise ValueError(f"frontend type {name!r}: expected one of {TYPES}")
    allowed = option_names(name)
    if name == "conv_blstm":
        options.setdefault("conv_channels", (32, 32))
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"frontend {name} has no option {unknown[0]!r}: "
            f"expected {allowed or 'none'}"
        )
    if name in BLSTM_TYPES:
        common = {"dropout": dropout, "dropout_mask": dropout_mask}
        options = {**common, "growing": growing, **options}
        return BlstmFrontend(input_size, hide_padding=hide_padding, **options)
    layers = list(CONV_LAYERS[name])
    for option, field in (
        ("conv_channels", "channels"),
        ("time_strides", "time_stride"),
    ):
        values = options.get(option, [getattr(layer, field) for layer in layers])
        if len(values) != len(layers):
            raise ValueError(
                f"frontend {name}: {option} {list(values)}, expected {len(layers)} "
                "numbers"
            )
        layers = [x._replace(**{field: value}) for x, value in zip(layers, values)]
    return ConvFrontend(input_size, layers, CONV_ACTIVATIONS[name], hide_padding)
