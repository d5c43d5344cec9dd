"""Every option of the encoders and of gammatone features, with values to try.

``on`` are values that change something, ``neutral`` values that change no bit (the
default is always tried besides). A test fails if an option of a class is not here.
"""

from typing import Any, Dict, List, NamedTuple, Sequence

import torch

from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.encoder.e_branchformer import FrontendEBranchformer
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.frontend.gammatone import GammatoneFrontend

FEATURES = 5
CONV = {"type": "conv", "conv_channels": [2, 2]}
BLSTM = {"type": "blstm", "hidden_size": 4}
WINDOW = {"attention_window_size": 2}
SHAW = {"positions": "shaw", "position_clip": 2}
CLOSE = {"attention_gradient_decay": 0.3}
GROWTH = {"layers": [1], "epochs": [3]}


class Option(NamedTuple):
    """Values of one option, each with the other options that it needs."""

    on: Sequence[Dict[str, Any]]
    neutral: Sequence[Dict[str, Any]] = ()
    beside: Dict[str, Any] = {}


class Plugin(NamedTuple):
    """A class, the options that make it small, and all its options."""

    kind: type
    small: Dict[str, Any]
    options: Dict[str, Option]


def growing(**options) -> Dict[str, Any]:
    """``growth`` with some other options."""
    return {"growth": {**GROWTH, **options}}


CONFORMER = Plugin(
    StagedConformerEncoder,
    dict(
        frontend=CONV,
        num_layers=2,
        model_size=12,
        feed_forward_size=12,
        num_heads=2,
        conv_kernel_size=4,
        conv_norm="layer_norm",
        padding="zero",
        input_dropout=0.0,
        dropout=0.0,
        attention_dropout=0.0,
    ),
    {
        "frontend": Option([{"frontend": BLSTM}]),
        "input_norm": Option([{"input_norm": "layer_norm"}], [{"input_norm": None}]),
        "input_dropout": Option([{"input_dropout": 0.5}]),
        "num_layers": Option([{"num_layers": 1}]),
        "model_size": Option([{"model_size": 8}]),
        "feed_forward_size": Option([{"feed_forward_size": 6}]),
        "num_heads": Option([{"num_heads": 3}]),
        "conv_kernel_size": Option([{"conv_kernel_size": 3}]),
        "conv_norm": Option(
            [{"conv_norm": "batch_norm"}, {"conv_norm": "masked_batch_norm"}]
        ),
        "conv_norm_updates_in_evaluation": Option(
            [{"conv_norm_updates_in_evaluation": True}],
            beside={"conv_norm": "masked_batch_norm"},
        ),
        "positions": Option([{"positions": "shaw"}]),
        "position_clip": Option([{"position_clip": 3}], beside=SHAW),
        "position_rows": Option(
            # matters for at most position_clip + 1 frames and small heads
            [{"position_rows": "all"}],
            beside={**SHAW, "position_clip": 12, "shaw_init": "glorot"},
        ),
        "shaw_init": Option([{"shaw_init": "glorot"}], beside=SHAW),
        "dropout": Option([{"dropout": 0.5}]),
        "attention_dropout": Option([{"attention_dropout": 0.5}]),
        "position_dropout": Option([{"position_dropout": 0.5}]),
        "dropout_mask": Option(
            [{"dropout_mask": "elementwise", "dropout": 0.5}],
            [{"dropout_mask": "elementwise"}],
        ),
        "position_dropout_mask": Option(
            [{"position_dropout_mask": "per_layer", "position_dropout": 0.5}],
            [{"position_dropout_mask": "per_layer"}],
        ),
        "feed_forward_dropout": Option(
            [
                {"feed_forward_dropout": "elementwise", "dropout": 0.5},
                {"feed_forward_dropout": "shared", "dropout": 0.5},
            ],
            [{"feed_forward_dropout": "elementwise"}],
        ),
        "attention_residual_dropout": Option(
            [{"attention_residual_dropout": True, "dropout": 0.5}],
            [{"attention_residual_dropout": True}],
        ),
        "residual": Option([{"residual": "attention_only"}]),
        "block": Option([{"block": "double_convolution"}]),
        "init": Option([{"init": "variance_scaling_078_fan_in"}]),
        "qkv_init_scale": Option([{"qkv_init_scale": 0.5}]),
        "attention_window_size": Option(
            [{"attention_window_size": 2, "attention_window": "always"}],
            # ineffective, as in the original; wider than the sequence
            [WINDOW, {"attention_window_size": 99, "attention_window": "always"}],
        ),
        "attention_window": Option(
            [{"attention_window": "training"}, {"attention_window": "always"}],
            [{"attention_window": "ineffective"}],
            WINDOW,
        ),
        "attention_gradient_decay": Option([CLOSE]),
        "attention_gradient_dropout": Option(
            [{"attention_gradient_dropout": 0.5}], beside=CLOSE
        ),
        "attention_gradient_reset": Option(
            [{"attention_gradient_reset": 0.5}], beside=CLOSE
        ),
        "chunk_size": Option([{"chunk_size": 4}]),
        "chunk_stride": Option(
            [{"chunk_stride": 2}], [{"chunk_stride": 4}], {"chunk_size": 4}
        ),
        "chunk_only_longer": Option(
            [{"chunk_only_longer": True}], beside={"chunk_size": 12}
        ),
        "chunk_tail": Option([{"chunk_tail": "covered"}], beside={"chunk_size": 6}),
        "padding": Option([{"padding": "visible"}]),
        "growth": Option([growing()]),
        "weight_noise_std": Option([{"weight_noise_std": 0.1}]),
        "weight_dropout": Option([{"weight_dropout": 0.3}]),
        "weight_noise_each": Option(
            [{"weight_noise_each": "update"}], beside={"weight_noise_std": 0.1}
        ),
        "stochastic_depth": Option([{"stochastic_depth": 0.9}]),
        "squeeze_excitation": Option([{"squeeze_excitation": 2}]),
    },
)

# of the option ``growth``
GROWTH_OPTIONS = {
    "layers": Option([growing(layers=[2])], beside={"num_layers": 3}),
    "epochs": Option([growing(epochs=[1])]),  # looked at in sub-epoch 2
    "width": Option([growing(width=False)]),
    "start_fraction": Option([growing(start_fraction=0.7)]),
    "qkv": Option([growing(qkv="heads")]),
    "kernel_multiple": Option([growing(kernel_multiple=1)]),
    "regularise_from_epoch": Option(
        [{**growing(regularise_from_epoch=4), "dropout": 0.5}],
        beside={"dropout": 0.5},
    ),
    "frontend": Option([growing(frontend=True)], beside={"frontend": BLSTM}),
}

CONV_BLSTM = Plugin(
    ConvBlstmEncoder,
    dict(conv_channels=[2], conv_feature_pooling=[2], num_layers=3, hidden_size=4)
    | dict(dropout=0.0),
    {
        "conv_channels": Option([{"conv_channels": [3]}]),
        "conv_feature_pooling": Option([{"conv_feature_pooling": [1]}]),
        "conv_time_pooling": Option(
            [{"conv_time_pooling": [2]}], [{"conv_time_pooling": [1]}]
        ),
        "conv_activation": Option(
            [{"conv_activation": "relu"}, {"conv_activation": "swish"}]
        ),
        "num_layers": Option([{"num_layers": 2}]),
        "hidden_size": Option([{"hidden_size": 3}]),
        "time_pooling": Option([{"time_pooling": [2, 3]}]),
        "dropout": Option([{"dropout": 0.5}]),
        "dropout_mask": Option(
            [{"dropout_mask": "elementwise", "dropout": 0.5}],
            [{"dropout_mask": "elementwise"}],
        ),
        "layer_norm": Option([{"layer_norm": True}]),
        "growth_start_layers": Option(
            [{"growth_start_layers": 2}], [{"growth_start_layers": 3}]
        ),
        "growth_epochs_per_layer": Option(
            [{"growth_epochs_per_layer": 1}], beside={"growth_start_layers": 2}
        ),
        "growth_start_fraction": Option(
            [{"growth_start_fraction": 0.5}], beside={"growth_start_layers": 2}
        ),
        "growth_copy": Option(
            [{"growth_copy": "halves"}],
            [{"growth_start_fraction": 1.0}],
            {"growth_start_layers": 2, "growth_start_fraction": 0.5},
        ),
        "weight_noise_std": Option([{"weight_noise_std": 0.1}]),
        "weight_dropout": Option([{"weight_dropout": 0.3}]),
        "weight_noise_each": Option(
            [{"weight_noise_each": "update"}], beside={"weight_noise_std": 0.1}
        ),
    },
)

E_BRANCHFORMER = Plugin(
    FrontendEBranchformer,
    dict(
        output_size=8,
        num_blocks=2,
        frontend=CONV,
        dropout_rate=0.0,
        attention_heads=2,
        cgmlp_linear_units=8,
        cgmlp_conv_kernel=3,
        linear_units=8,
        positional_dropout_rate=0.0,
        attention_dropout_rate=0.0,
    ),
    {
        "output_size": Option([{"output_size": 4}]),
        "num_blocks": Option([{"num_blocks": 1}]),
        "frontend": Option([{"frontend": BLSTM}]),
        "dropout_rate": Option([{"dropout_rate": 0.5}]),
    },
)

ENCODERS = {plugin.kind.__name__: plugin for plugin in (CONFORMER, CONV_BLSTM)}
ENCODERS["FrontendEBranchformer"] = E_BRANCHFORMER

# by type: options of the option ``frontend``
FRONTENDS: Dict[str, Dict[str, Any]] = {
    **dict.fromkeys(("conv",), {"conv_channels": [2, 3], "time_strides": [3, 2]}),
    **dict.fromkeys(
        ("strided_conv", "vgg"),
        {"conv_channels": [2, 2, 3], "time_strides": [2, 1, 3]},
    ),
    "swish_conv": {"conv_channels": [2, 2, 2, 3], "time_strides": [1, 1, 3, 1]},
    "blstm": {"hidden_size": 2, "time_pooling": [6, 1], "dropout": 0.5},
    "conv_blstm": {
        **{"hidden_size": 2, "time_pooling": [6, 1], "dropout": 0.5},
        **{"conv_channels": [3, 2], "conv_feature_pooling": [1, 2]},
    },
}

GAMMATONE = Plugin(
    GammatoneFrontend,
    {"channels": 4},
    {
        "fs": Option([{"fs": 16000}], [{"fs": "8k"}]),
        "channels": Option([{"channels": 5}]),
        "freq_min": Option([{"freq_min": 200.0}]),
        "freq_max": Option([{"freq_max": 3500.0}]),
        "filter_seconds": Option([{"filter_seconds": 0.03}]),
        "window_seconds": Option([{"window_seconds": 0.02}]),
        "shift_seconds": Option([{"shift_seconds": 0.005}]),
        "dct": Option([{"dct": False}]),
    },
)


def built(plugin: Plugin, *options: Dict[str, Any]) -> torch.nn.Module:
    """The small encoder with more options, the same weights where it can."""
    torch.manual_seed(0)
    return plugin.kind(FEATURES, **{**plugin.small, **merged(*options)})


def merged(*options: Dict[str, Any]) -> Dict[str, Any]:
    """Later ones win."""
    return {key: value for each in options for key, value in each.items()}


def features(*frames: int, seed: int = 1):
    """Features of sequences of so many frames, and their lengths."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(frames), max(frames), FEATURES
    return torch.randn(shape, generator=generator), torch.tensor(frames)


def trace(network: torch.nn.Module, epoch: int = 2, seed: int = 3) -> List:
    """Output, lengths, gradients and weights of a training pass, to compare."""
    network.train()
    if hasattr(network, "set_epoch"):
        network.set_epoch(epoch)
    for part in network.modules():
        if getattr(part, "random_stream", None):
            part.generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    y, lengths, _ = network(*features(66, 31))
    y.square().sum().backward()
    state = network.state_dict()
    gradients = {n: p.grad for n, p in network.named_parameters()}
    return [y.detach(), lengths, state, gradients]


def same(first: Any, second: Any) -> bool:
    """Whether two traces are equal bit for bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, list):
        return all(map(same, first, second))
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and torch.equal(first, second)
