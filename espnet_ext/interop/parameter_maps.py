"""Names of the original's parameters and ours, family by family.

Source: reference/parity/README.md; i6_experiments exp_fs_base; returnn_common nn/.
"""

# Dimensions: K labels without blank
from typing import List

import numpy as np

from espnet_ext.interop.returnn import (
    Rule,
    class_rows,
    convolution,
    depthwise,
    gates,
    label_rows,
    linear_rules,
    lstm_rules,
    same,
    zoneout_rules,
)


def conv_net_rules(original: str, ours: str, count: int, first: int = 0) -> List[Rule]:
    """Rules of numbered 2D convolutions; ``original`` has the number as {}."""
    rules = []
    for i in range(first, first + count):
        name = original.format(i)
        rules.append(Rule(f"{name}/filter", f"{ours}.{i}.weight", convolution))
        rules.append(Rule(f"{name}/bias", f"{ours}.{i}.bias", same))
    return rules


def blstm_rules(original: str, ours: str, num_layers: int) -> List[Rule]:
    """Rules of a list of Blstm layers."""
    rules = []
    for i in range(num_layers):
        for short, name in (("fw", "forward_lstm"), ("bw", "backward_lstm")):
            rules += lstm_rules(f"{original}/layers/{i}/{short}", f"{ours}.{i}.{name}")
    return rules


def raw_lstm_rules(original: str, ours: str, num_layers: int) -> List[Rule]:
    """The same for networks in raw form; ``original`` has the layer's number as {}."""
    rules = []
    for i in range(num_layers):
        for short, name in (("fw", "forward_lstm"), ("bw", "backward_lstm")):
            layer, target = f"{original.format(i)}_{short}", f"{ours}.{i}.{name}"
            rules += raw_lstm(layer, target)
    return rules


def raw_lstm(original: str, ours: str) -> List[Rule]:
    """One direction of an LSTM in raw form."""
    return [
        Rule(f"{original}/rec/W", f"{ours}.weight_ih", gates),
        Rule(f"{original}/rec/W_re", f"{ours}.weight_hh", gates),
        Rule(f"{original}/rec/b", f"{ours}.bias", gates),
    ]


def blstm_encoder_rules(num_layers: int, num_convolutions: int) -> List[Rule]:
    """Rules of ConvBlstmEncoder."""
    front = "encoder.conv_front.convolutions"
    return [
        *conv_net_rules("encoder/pre_conv_net/conv{}", front, num_convolutions),
        *blstm_rules("encoder", "encoder.layers", num_layers),
    ]


def _norm_rules(original: str, ours: str, batch_norm: bool = False) -> List[Rule]:
    if not batch_norm:
        return [
            Rule(f"{original}/scale", f"{ours}.weight", same),
            Rule(f"{original}/bias", f"{ours}.bias", same),
        ]
    names = {
        "gamma": "weight",
        "beta": "bias",
        "running_mean": "running_mean",
        "running_variance": "running_var",
    }
    return [
        Rule(f"{original}/{theirs}", f"{ours}.{name}", same)
        for theirs, name in names.items()
    ]


def _attention_rules(original: str, ours: str, shaw: bool) -> List[Rule]:
    rules = linear_rules(f"{original}/qkv", f"{ours}.qkv", bias=not shaw)
    rules += linear_rules(f"{original}/proj", f"{ours}.proj", bias=not shaw)
    if shaw:
        table = f"{original}/learned_pos_emb/pos_emb"
        return [*rules, Rule(table, f"{ours}.position_table", same)]
    return [
        *rules,
        *linear_rules(f"{original}/linear_pos", f"{ours}.linear_pos", bias=False),
        Rule(f"{original}/pos_bias_u", f"{ours}.pos_bias_u", same),
        Rule(f"{original}/pos_bias_v", f"{ours}.pos_bias_v", same),
    ]


def conformer_layer_rules(
    original: str, ours: str, batch_norm: bool, shaw: bool, final_norm: bool
) -> List[Rule]:
    """Rules of one ConformerLayer."""
    rules = []
    for name in ("ffn1", "ffn2"):
        rules += _norm_rules(f"{original}/{name}_layer_norm", f"{ours}.{name}_norm")
        for part in ("linear_ff", "linear_out"):
            rules += linear_rules(f"{original}/{name}/{part}", f"{ours}.{name}.{part}")
    rules += _norm_rules(f"{original}/self_att_layer_norm", f"{ours}.attention_norm")
    rules += _attention_rules(f"{original}/self_att", f"{ours}.attention", shaw)
    rules += _norm_rules(f"{original}/conv_layer_norm", f"{ours}.conv_norm")
    block, conv = f"{original}/conv_block", f"{ours}.conv"
    rules += linear_rules(f"{block}/positionwise_conv1", f"{conv}.pointwise_in")
    rules += linear_rules(f"{block}/positionwise_conv2", f"{conv}.pointwise_out")
    filters = f"{block}/depthwise_conv"
    rules.append(Rule(f"{filters}/filter", f"{conv}.depthwise.weight", depthwise))
    rules.append(Rule(f"{filters}/bias", f"{conv}.depthwise.bias", same))
    rules += _norm_rules(f"{block}/norm", f"{conv}.norm", batch_norm)
    if final_norm:
        rules += _norm_rules(f"{original}/final_layer_norm", f"{ours}.final_norm")
    return rules


def ctc_head_rules(numbers: List[int], ids_K: np.ndarray, blank: bool) -> List[Rule]:
    """Rules of AuxiliaryCtc, whose classes include blank or not."""

    def rows(axis: int):
        return class_rows(ids_K, axis) if blank else label_rows(ids_K, 0, axis)

    rules = []
    for number in numbers:
        original, ours = f"enc_aux_logits_{number}", f"ctc_heads.heads.{number}"
        rules.append(Rule(f"{original}/weight", f"{ours}.weight", rows(1)))
        rules.append(Rule(f"{original}/bias", f"{ours}.bias", rows(0)))
    return rules


def ctc_output_rules(ids_K: np.ndarray) -> List[Rule]:
    """Rules of the output layer of CtcModel."""
    return [
        Rule("logits/weight", "ctc.ctc_lo.weight", class_rows(ids_K, 1)),
        Rule("logits/bias", "ctc.ctc_lo.bias", class_rows(ids_K, 0)),
    ]


def prediction_rules(ids_K: np.ndarray, zoneout_input: int = 0) -> List[Rule]:
    """Rules of the prediction network of LstmTransducerDecoder.

    The embedding gets a zero row for blank, which is never looked up.

    Args:
        ids_K: Our id of each label.
        zoneout_input: Input size of the LSTM if it is one with zoneout, else 0.
    """
    if zoneout_input:
        lstm = zoneout_rules("lm/lstm", "decoder.lstm", zoneout_input)
    else:
        lstm = lstm_rules("lm/lstm", "decoder.lstm")
    return [
        Rule("lm/embed/weight", "decoder.embedding", label_rows(ids_K, 1, 0)),
        Rule("lm/embed/bias", "decoder.embedding_bias", same),
        *lstm,
    ]


def joint_rules(ids_K: np.ndarray, attention: bool) -> List[Rule]:
    """Rules of MaxoutReadout."""
    joint = "decoder.joint_network"
    rules = []
    if attention:
        rules += linear_rules("enc_ctx", f"{joint}.attention.key")
        rules += linear_rules("att_query", f"{joint}.attention.query", bias=False)
    labels = "out_nb_label_logits"
    return [
        *rules,
        *linear_rules("readout_in_am", f"{joint}.readout_am", bias=False),
        *linear_rules("readout_in_lm", f"{joint}.readout_lm", bias=False),
        Rule("readout_in_bias", f"{joint}.readout_bias", same),
        Rule(
            f"{labels}/weight", f"{joint}.label_output.weight", label_rows(ids_K, 0, 1)
        ),
        Rule(f"{labels}/bias", f"{joint}.label_output.bias", label_rows(ids_K, 0, 0)),
        *linear_rules("out_emit_logit", f"{joint}.emission_output"),
    ]


def attention_decoder_rules(ids_K: np.ndarray, zoneout_input: int = 0) -> List[Rule]:
    """Rules of MlpAttentionDecoder; the arguments are those of prediction_rules."""
    ours = "decoder"
    lstm = lstm_rules("s", f"{ours}.lstm")
    if zoneout_input:
        lstm = zoneout_rules("s", f"{ours}.lstm", zoneout_input)
    return [
        Rule("target_embed/weight", f"{ours}.embedding", label_rows(ids_K, 1, 0)),
        *lstm,
        *linear_rules("enc_ctx", f"{ours}.key"),
        *linear_rules("inv_fertility", f"{ours}.fertility"),
        *linear_rules("weight_feedback", f"{ours}.feedback", bias=False),
        *linear_rules("s_transformed", f"{ours}.query", bias=False),
        *linear_rules("energy", f"{ours}.energy", bias=False),
        *linear_rules("readout_in", f"{ours}.readout"),
        Rule("output_prob/weight", f"{ours}.output.weight", label_rows(ids_K, 0, 1)),
        Rule("output_prob/bias", f"{ours}.output.bias", label_rows(ids_K, 0, 0)),
    ]
