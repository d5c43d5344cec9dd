"""Builds the model of the experiments ``orig*``: the framework's raw network form.

Source: reference/models.md (a); reference/parity/README.md "orig_*".
"""

# Dimensions: K labels without blank
from typing import Any, Dict, List, Tuple

import numpy as np

from espnet_ext.interop.original_experiment import OriginalExperiment
from espnet_ext.interop.parameter_maps import raw_lstm, raw_lstm_rules
from espnet_ext.interop.reference_conformer import CHANNELS, count
from espnet_ext.interop.returnn import (
    Arrays,
    Rule,
    convolution,
    label_rows,
    same,
    transpose,
)

LOOP = "output/rec"
JOINT = "decoder.joint_network"


def orig_encoder(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the encoder with the sizes of ``parameters``, and its rules."""
    convolutions = CHANNELS["conv_blstm"]
    layers = count(parameters, "lstm{}_fw/rec/W")
    sizes = {
        "conv_channels": [
            parameters[f"conv{i}/bias"].shape[0] for i in range(convolutions)
        ],
        "num_layers": layers,
        "hidden_size": parameters["lstm0_fw/rec/W_re"].shape[0],
    }
    rules = []
    for i in range(convolutions):
        ours = f"encoder.conv_front.convolutions.{i}"
        rules.append(Rule(f"conv{i}/W", f"{ours}.weight", convolution))
        rules.append(Rule(f"conv{i}/bias", f"{ours}.bias", same))
    rules += raw_lstm_rules("lstm{}", "encoder.layers", layers)
    return {**experiment.encoder, **sizes}, rules


def orig_decoder(
    parameters: Arrays,
    ids_K: np.ndarray,
    encoder_size: int,
    experiment: OriginalExperiment,
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the decoder with the sizes of ``parameters``, and its rules.

    One readout matrix [enc, att, lm] is two in ours. Where the column of blank is
    misplaced, unit k - 1 of the label softmax stands for label k, so the units keep
    their order; otherwise they are labels.
    """
    embedding = f"{LOOP}/lm_masked/input_embed"
    joint = dict(experiment.decoder["joint"])
    joint["readout_size"] = parameters[f"{LOOP}/readout_in/b"].shape[0]
    joint["attention"] = {
        **joint["attention"],
        "key_size": parameters["enc_ctx0/W"].shape[1],
    }
    options = {
        **experiment.decoder,
        "embedding_size": parameters[f"{embedding}/W"].shape[1],
        "hidden_size": parameters[f"{LOOP}/lm_masked/lstm0/rec/W_re"].shape[0],
        "joint": joint,
    }
    units_K = ids_K
    if joint["blank_column"] == "misplaced":
        units_K = np.arange(1, len(ids_K) + 1)
    frames = 2 * encoder_size
    labels = f"{LOOP}/label_log_prob"
    readout = f"{LOOP}/readout_in"
    output = f"{JOINT}.label_output"
    return options, [
        Rule(f"{embedding}/W", "decoder.embedding", label_rows(ids_K, 1, 0)),
        Rule(f"{embedding}/b", "decoder.embedding_bias", same),
        *raw_lstm(f"{LOOP}/lm_masked/lstm0", "decoder.lstm"),
        Rule("enc_ctx0/W", f"{JOINT}.attention.key.weight", transpose),
        Rule(f"{LOOP}/att_query/W", f"{JOINT}.attention.query.weight", transpose),
        Rule(f"{readout}/W", f"{JOINT}.readout_am.weight", lambda a: a[:frames].T),
        Rule(f"{readout}/W", f"{JOINT}.readout_lm.weight", lambda a: a[frames:].T),
        Rule(f"{readout}/b", f"{JOINT}.readout_bias", same),
        Rule(f"{labels}/W", f"{output}.weight", label_rows(units_K, 0, 1)),
        Rule(f"{labels}/b", f"{output}.bias", label_rows(units_K, 0, 0)),
        Rule(f"{LOOP}/emit_prob0/W", f"{JOINT}.emission_output.weight", transpose),
        Rule(f"{LOOP}/emit_prob0/b", f"{JOINT}.emission_output.bias", same),
    ]
