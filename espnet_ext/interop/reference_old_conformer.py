"""The older Conformer encoders, whose parameters have the names of raw networks.

Their decoder is that of ``start``. The convolutions of ``old_moh_hybrid_conformer`` are
called c1, c3, c4 and c2, in this order.

Source: reference/models.md (h); i6_experiments exp_fs_base/old_*.py and
conformer_import_old_nick_att_conformer_lrs2.py (names).
"""

import re
from typing import Any, Dict, List, Tuple

from espnet_ext.interop.original_experiment import OriginalExperiment
from espnet_ext.interop.parameter_maps import raw_lstm_rules
from espnet_ext.interop.reference_conformer import FRONT, count
from espnet_ext.interop.returnn import (
    Arrays,
    Rule,
    convolution,
    depthwise,
    same,
    transpose,
)

BLOCK = "encoder/conformer_block_{:02d}"
CONVOLUTIONS = ("c1", "c3", "c4", "c2")
STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}


def _linear(original: str, ours: str, bias: bool = True) -> List[Rule]:
    rules = [Rule(f"{original}/W", f"{ours}.weight", transpose)]
    if bias:
        rules.append(Rule(f"{original}/b", f"{ours}.bias", same))
    return rules


def _norm(original: str, ours: str) -> List[Rule]:
    return [
        Rule(f"{original}/scale", f"{ours}.weight", same),
        Rule(f"{original}/bias", f"{ours}.bias", same),
    ]


def _batch_norm(parameters: Arrays, original: str, ours: str) -> List[Rule]:
    """Statistics have a version in their names, and in old ones more axes."""
    rules = []
    for name in parameters:
        found = re.fullmatch(
            re.escape(original) + r"/batch_norm/\w*?(gamma|beta|mean|variance)", name
        )
        if found:
            target = f"{ours}.{STATISTICS[found[1]]}"
            rules.append(Rule(name, target, lambda array: array.reshape(-1)))
    return rules


def _convolution_module(
    parameters: Arrays, original: str, ours: str, norm: str
) -> List[Rule]:
    """``norm``: name of the layer behind the depthwise convolution."""
    filters = f"{original}_depthwise_conv2"
    rules = [
        *_linear(f"{original}_pointwise_conv1", f"{ours}.pointwise_in"),
        *_linear(f"{original}_pointwise_conv2", f"{ours}.pointwise_out"),
        Rule(f"{filters}/W", f"{ours}.depthwise.weight", depthwise),
        Rule(f"{filters}/bias", f"{ours}.depthwise.bias", same),
    ]
    if norm == "bn":
        rules += _batch_norm(parameters, f"{original}_{norm}", f"{ours}.norm")
    else:
        rules += _norm(f"{original}_{norm}", f"{ours}.norm")
    return rules


def _layer_rules(parameters: Arrays, number: int, double: bool) -> List[Rule]:
    """Rules of the layer of that number, from 0."""
    block, ours = BLOCK.format(number + 1), f"encoder.layers.{number}"
    rules = _norm(f"{block}_ln", f"{ours}.final_norm")
    for i in (1, 2):
        feed_forward = f"{block}_ffmod_{i}"
        rules += _norm(f"{feed_forward}_ln", f"{ours}.ffn{i}_norm")
        rules += _linear(f"{feed_forward}_ff1", f"{ours}.ffn{i}.linear_ff")
        rules += _linear(f"{feed_forward}_ff2", f"{ours}.ffn{i}.linear_out")
    attention = f"{block}_self_att"
    table = f"{attention}_ln_rel_pos_enc/encoding_matrix"
    rules += [
        *_norm(f"{attention}_ln", f"{ours}.attention_norm"),
        Rule(f"{attention}/QKV", f"{ours}.attention.qkv.weight", transpose),
        *_linear(f"{attention}_linear", f"{ours}.attention.proj", bias=False),
        Rule(table, f"{ours}.attention.position_table", same),
    ]
    modules = {f"{block}_conv_mod": "conv"}
    if double:
        modules = {
            f"{block}_covmod_1_conv_mod": "first_conv",
            f"{block}_covmod_2_conv_mod": "conv",
        }
    norm = "ln_replace_bn" if double else "bn"
    for module, name in modules.items():
        rules += _norm(f"{module}_ln", f"{ours}.{name}_norm")
        rules += _convolution_module(parameters, module, f"{ours}.{name}", norm)
    return rules


def _frontend(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    options = dict(experiment.encoder["frontend"])
    if options["type"] == "swish_conv":
        rules = []
        for index, name in enumerate(CONVOLUTIONS):
            original, ours = f"encoder/{name}", f"{FRONT}.convolutions.{index}"
            rules.append(Rule(f"{original}/W", f"{ours}.weight", convolution))
            rules.append(Rule(f"{original}/bias", f"{ours}.bias", same))
        options["conv_channels"] = [
            parameters[f"encoder/{name}/bias"].shape[0] for name in CONVOLUTIONS
        ]
        return options, rules
    options["hidden_size"] = parameters["encoder/lstm0_fw/rec/W_re"].shape[0]
    layers = len(options["time_pooling"])
    return options, raw_lstm_rules("encoder/lstm{}", f"{FRONT}.layers", layers)


def old_conformer_encoder(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the encoder with the sizes of ``parameters``, and its rules."""
    frontend, rules = _frontend(parameters, experiment)
    first = BLOCK.format(1)
    double = experiment.encoder.get("block") == "double_convolution"
    module = f"{first}_covmod_1_conv_mod" if double else f"{first}_conv_mod"
    inner = parameters[f"{first}_ffmod_1_ff1/W"]
    rows, head = parameters[f"{first}_self_att_ln_rel_pos_enc/encoding_matrix"].shape
    layers = count(parameters, BLOCK + "_self_att/QKV", first=1)
    options = {
        **experiment.encoder,
        "frontend": frontend,
        "num_layers": layers,
        "model_size": inner.shape[0],
        "feed_forward_size": inner.shape[1],
        "num_heads": inner.shape[0] // head,
        "position_clip": (rows - 1) // 2,
        "conv_kernel_size": parameters[f"{module}_depthwise_conv2/W"].shape[0],
    }
    projection = "encoder/source_linear"
    rules += _linear(projection, "encoder.input_projection", bias=False)
    if options.get("input_norm"):
        rules += _norm(f"{projection}_ln", "encoder.input_norm")
    for number in range(layers):
        rules += _layer_rules(parameters, number, double)
    return options, rules
