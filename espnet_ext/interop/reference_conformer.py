"""Conformer encoders of experiments with the sizes of their parameters.

Source: reference/models.md (c), (d); reference/parity/README.md.
"""

# Dimensions: D model, H heads, K size of a head
from typing import Any, Dict, List, Tuple

from espnet_ext.interop.original_experiment import OriginalExperiment
from espnet_ext.interop.parameter_maps import (
    blstm_rules,
    conformer_layer_rules,
    conv_net_rules,
)
from espnet_ext.interop.returnn import Arrays, Rule, linear_rules

LAYER = "encoder/layers/{}"
FRONT = "encoder.frontend"
# convolutions of the frontends that consist of nothing else
CONVOLUTIONS = {"conv": "conv_layers/{}", "strided_conv": "conv{}"}
FIRST = {"conv": 0, "strided_conv": 1}
# of a file without any: the original's
CHANNELS = {"conv": 2, "strided_conv": 3, "conv_blstm": 2}


def count(parameters: Arrays, pattern: str, first: int = 0) -> int:
    """How many of pattern.format(first), pattern.format(first + 1), .. are there."""
    number = first
    while pattern.format(number) in parameters:
        number += 1
    return number - first


def _frontend(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options and rules of the frontend; with chunking it stands before the encoder."""
    options = dict(experiment.encoder["frontend"])
    chunked = experiment.encoder.get("chunk_size") is not None
    prefix = "frontend" if chunked else "encoder/input_layer"
    kind = options["type"]
    if kind in CONVOLUTIONS:
        pattern = f"{prefix}/{CONVOLUTIONS[kind]}"
        names = [pattern.format(FIRST[kind] + i) for i in range(CHANNELS[kind])]
        rules = []
        for index, name in enumerate(names):
            rules += conv_net_rules(name, f"{FRONT}.convolutions", 1, first=index)
        options["conv_channels"] = [parameters[f"{n}/bias"].shape[0] for n in names]
        return options, rules
    rules = blstm_rules(prefix, f"{FRONT}.layers", len(options["time_pooling"]))
    options["hidden_size"] = parameters[f"{prefix}/layers/0/fw/param_W_re"].shape[0]
    if kind == "conv_blstm":
        pattern = prefix + "/pre_conv_net/conv{}"
        channels = [
            parameters[pattern.format(i) + "/bias"].shape[0]
            for i in range(CHANNELS[kind])
        ]
        options["conv_channels"] = channels
        ours = f"{FRONT}.conv_front.convolutions"
        rules += conv_net_rules(pattern, ours, len(channels))
    return options, rules


def _sizes(parameters: Arrays, experiment: OriginalExperiment) -> Dict[str, Any]:
    first = LAYER.format(0)
    inner = parameters[f"{first}/ffn1/linear_ff/weight"]
    sizes = {
        "num_layers": count(parameters, LAYER + "/ffn1/linear_ff/weight"),
        "model_size": inner.shape[0],
        "feed_forward_size": inner.shape[1],
        "conv_kernel_size": parameters[
            f"{first}/conv_block/depthwise_conv/filter"
        ].shape[0],
    }
    if experiment.encoder["positions"] == "shaw":
        rows, head = parameters[f"{first}/self_att/learned_pos_emb/pos_emb"].shape
        sizes["num_heads"] = inner.shape[0] // head
        sizes["position_clip"] = (rows - 1) // 2
    else:
        sizes["num_heads"] = parameters[f"{first}/self_att/pos_bias_u"].shape[0]
    return sizes


def conformer_encoder(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the encoder with the sizes of ``parameters``, and its rules."""
    frontend, rules = _frontend(parameters, experiment)
    sizes = _sizes(parameters, experiment)
    options = {**experiment.encoder, **sizes, "frontend": frontend}
    rules += linear_rules(
        "encoder/input_projection", "encoder.input_projection", bias=False
    )
    for number in range(sizes["num_layers"]):
        rules += conformer_layer_rules(
            LAYER.format(number),
            f"encoder.layers.{number}",
            batch_norm=options["conv_norm"] != "layer_norm",
            shaw=options["positions"] == "shaw",
            final_norm=options["residual"] == "all",
        )
    return options, rules
