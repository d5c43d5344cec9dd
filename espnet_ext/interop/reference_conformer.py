"""Builds the Conformer encoder of an experiment with the sizes of its parameters.

Source: reference/models.md (c), (d); reference/parity/README.md.
"""

# Dimensions: D model, H heads, K size of a head
import re
from typing import Dict, List, Tuple

from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.interop.experiment_names import NamedExperiment
from espnet_ext.interop.parameter_maps import (
    blstm_rules,
    conformer_layer_rules,
    conv_net_rules,
)
from espnet_ext.interop.returnn import Arrays, Rule, linear_rules

FRONTENDS = ("encoder/input_layer", "frontend")
LAYER = "encoder/layers/{}"


def count(parameters: Arrays, pattern: str) -> int:
    """How many of pattern.format(0), pattern.format(1), .. are there."""
    number = 0
    while pattern.format(number) in parameters:
        number += 1
    return number


def _frontend(
    parameters: Arrays, experiment: NamedExperiment
) -> Tuple[Dict, List[Rule]]:
    """Options and rules of the frontend that the parameters are of."""
    prefix = next(
        (p for p in FRONTENDS if any(name.startswith(p) for name in parameters)),
        FRONTENDS[0],
    )
    channels = []
    for start, kind in (("conv_layers/{}", "conv"), ("conv{}", "strided_conv")):
        numbers = sorted(
            int(match[1])
            for name in parameters
            if (
                match := re.fullmatch(
                    f"{prefix}/{start.format('([0-9]+)')}/filter", name
                )
            )
        )
        if numbers:
            names = [f"{prefix}/{start.format(number)}" for number in numbers]
            channels = [parameters[f"{name}/bias"].shape[0] for name in names]
            rules = []
            for index, name in enumerate(names):
                ours = "encoder.frontend.convolutions"
                rules += conv_net_rules(name, ours, 1, first=index)
            return {"type": kind, "conv_channels": channels}, rules
    num_layers = count(parameters, prefix + "/layers/{}/fw/param_W")
    convolutions = count(parameters, prefix + "/pre_conv_net/conv{}/filter")
    options = {
        "type": "conv_blstm" if convolutions else "blstm",
        "hidden_size": parameters[f"{prefix}/layers/0/fw/param_W_re"].shape[0],
        "time_pooling": [3, 2] if experiment.pool_last else [6, 1],
    }
    if convolutions:
        options["conv_channels"] = [
            parameters[f"{prefix}/pre_conv_net/conv{i}/bias"].shape[0]
            for i in range(convolutions)
        ]
    front = "encoder.frontend.conv_front.convolutions"
    return options, [
        *conv_net_rules(prefix + "/pre_conv_net/conv{}", front, convolutions),
        *blstm_rules(prefix, "encoder.frontend.layers", num_layers),
    ]


def conformer_options(parameters: Arrays, experiment: NamedExperiment) -> Dict:
    """Options of StagedConformerEncoder but the frontend's, without any dropout."""
    first = LAYER.format(0)
    size = parameters[f"{first}/ffn1/linear_ff/weight"].shape[0]
    shaw = f"{first}/self_att/learned_pos_emb/pos_emb" in parameters
    if shaw:
        rows, head = parameters[f"{first}/self_att/learned_pos_emb/pos_emb"].shape
        heads, clip = size // head, (rows - 1) // 2
    else:
        heads, clip = parameters[f"{first}/self_att/pos_bias_u"].shape[0], 16
    norm = "layer_norm"
    if f"{first}/conv_block/norm/running_mean" in parameters:
        norm = "masked_batch_norm" if experiment.masked_norm else "batch_norm"
    return {
        "num_layers": count(parameters, LAYER + "/ffn1/linear_ff/weight"),
        "model_size": size,
        "feed_forward_size": parameters[f"{first}/ffn1/linear_ff/weight"].shape[1],
        "num_heads": heads,
        "conv_kernel_size": parameters[
            f"{first}/conv_block/depthwise_conv/filter"
        ].shape[0],
        "conv_norm": norm,
        "positions": "shaw" if shaw else "relative",
        "position_clip": clip,
        "residual": experiment.residual,
        "attention_gradient_decay": experiment.gradient_decay,
        "chunk_size": experiment.chunk_size,
        "chunk_only_longer": experiment.chunk_only_longer,
        "input_dropout": 0.0,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }


def conformer_rules(parameters: Arrays, options: Dict) -> List[Rule]:
    """Rules of the projection and of all layers."""
    rules = linear_rules(
        "encoder/input_projection", "encoder.input_projection", bias=False
    )
    for number in range(options["num_layers"]):
        rules += conformer_layer_rules(
            LAYER.format(number),
            f"encoder.layers.{number}",
            batch_norm=options["conv_norm"] != "layer_norm",
            shaw=options["positions"] == "shaw",
            final_norm=options["residual"] == "all",
        )
    return rules


def build_conformer(
    parameters: Arrays, input_size: int, experiment: NamedExperiment
) -> Tuple[StagedConformerEncoder, List[Rule]]:
    """Encoder with the sizes of ``parameters``, and its rules."""
    frontend, rules = _frontend(parameters, experiment)
    options = conformer_options(parameters, experiment)
    encoder = StagedConformerEncoder(input_size, frontend=frontend, **options)
    return encoder, [*rules, *conformer_rules(parameters, options)]
