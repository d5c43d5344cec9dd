"""Builds the model of the experiments ``orig*``: the framework's raw network form.

Source: reference/models.md (a); reference/parity/README.md "orig_*".
"""

# Dimensions: D encoder, H prediction network, K labels without blank
from typing import List, Tuple

import numpy as np

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.interop.experiment_names import NamedExperiment
from espnet_ext.interop.reference_conformer import count
from espnet_ext.interop.returnn import (
    Arrays,
    Rule,
    convolution,
    gates,
    label_rows,
    same,
    transpose,
)

LOOP = "output/rec"
JOINT = "decoder.joint_network"


def _lstm(original: str, ours: str) -> List[Rule]:
    return [
        Rule(f"{original}/rec/W", f"{ours}.weight_ih", gates),
        Rule(f"{original}/rec/W_re", f"{ours}.weight_hh", gates),
        Rule(f"{original}/rec/b", f"{ours}.bias", gates),
    ]


def build_orig_encoder(
    parameters: Arrays, input_size: int, experiment: NamedExperiment
) -> Tuple[ConvBlstmEncoder, List[Rule]]:
    """Encoder with the sizes of ``parameters``, and its rules."""
    convolutions = count(parameters, "conv{}/W")
    layers = count(parameters, "lstm{}_fw/rec/W")
    encoder = ConvBlstmEncoder(
        input_size,
        conv_channels=[
            parameters[f"conv{i}/bias"].shape[0] for i in range(convolutions)
        ],
        conv_feature_pooling=[2] * convolutions,
        num_layers=layers,
        hidden_size=parameters["lstm0_fw/rec/W_re"].shape[0],
    )
    rules = []
    for i in range(convolutions):
        ours = f"encoder.conv_front.convolutions.{i}"
        rules.append(Rule(f"conv{i}/W", f"{ours}.weight", convolution))
        rules.append(Rule(f"conv{i}/bias", f"{ours}.bias", same))
    for i in range(layers):
        for short, name in (("fw", "forward_lstm"), ("bw", "backward_lstm")):
            rules += _lstm(f"lstm{i}_{short}", f"encoder.layers.{i}.{name}")
    return encoder, rules


def build_orig_decoder(
    parameters: Arrays, ids_K: np.ndarray, encoder_size: int
) -> Tuple[LstmTransducerDecoder, List[Rule]]:
    """Decoder with the sizes of ``parameters``, and its rules.

    One readout matrix [enc, att, lm] is two in ours. The first input of the prediction
    network is one beyond the embedding table: a zero vector.
    """
    embedding = f"{LOOP}/lm_masked/input_embed"
    decoder = LstmTransducerDecoder(
        len(ids_K) + 1,
        encoder_size,
        embedding_size=parameters[f"{embedding}/W"].shape[1],
        hidden_size=parameters[f"{LOOP}/lm_masked/lstm0/rec/W_re"].shape[0],
        bos_vector="zero",
        joint={
            "readout_size": parameters[f"{LOOP}/readout_in/b"].shape[0],
            "attention": {
                "key_size": parameters["enc_ctx0/W"].shape[1],
                "key_bias": False,
                "scale": "key_size",
                "padding": "visible",
            },
        },
    )
    frames = 2 * encoder_size
    labels = f"{LOOP}/label_log_prob"
    readout = f"{LOOP}/readout_in"
    return decoder, [
        Rule(f"{embedding}/W", "decoder.embedding", label_rows(ids_K, 1, 0)),
        Rule(f"{embedding}/b", "decoder.embedding_bias", same),
        *_lstm(f"{LOOP}/lm_masked/lstm0", "decoder.lstm"),
        Rule("enc_ctx0/W", f"{JOINT}.attention.key.weight", transpose),
        Rule(f"{LOOP}/att_query/W", f"{JOINT}.attention.query.weight", transpose),
        Rule(f"{readout}/W", f"{JOINT}.readout_am.weight", lambda a: a[:frames].T),
        Rule(f"{readout}/W", f"{JOINT}.readout_lm.weight", lambda a: a[frames:].T),
        Rule(f"{readout}/b", f"{JOINT}.readout_bias", same),
        Rule(f"{labels}/W", f"{JOINT}.label_output.weight", label_rows(ids_K, 0, 1)),
        Rule(f"{labels}/b", f"{JOINT}.label_output.bias", label_rows(ids_K, 0, 0)),
        Rule(f"{LOOP}/emit_prob0/W", f"{JOINT}.emission_output.weight", transpose),
        Rule(f"{LOOP}/emit_prob0/b", f"{JOINT}.emission_output.bias", same),
    ]
