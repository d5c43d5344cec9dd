"""Sizes of an experiment's model from its parameters, as a plain configuration.

The configuration is that of the growing stage the parameters are of, without growth.
"""

# Dimensions: K labels without blank
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.interop.original_experiment import OriginalExperiment
from espnet_ext.interop.parameter_maps import (
    attention_decoder_rules,
    blstm_encoder_rules,
    ctc_head_rules,
    ctc_output_rules,
    joint_rules,
    prediction_rules,
)
from espnet_ext.interop.reference_conformer import CHANNELS, conformer_encoder, count
from espnet_ext.interop.reference_old_conformer import old_conformer_encoder
from espnet_ext.interop.reference_orig import orig_decoder, orig_encoder
from espnet_ext.interop.returnn import Arrays, Rule, label_ids


class SizedExperiment(NamedTuple):
    """What a model is built from, and the names of its parameters.

    Attributes:
        encoder: Class name and options.
        decoder: The same, None for no decoder.
        model: The same; without a decoder and CTC output, it is None.
        rules: Original parameter names to ours.
        label_ids_K: Our token id of each original label.
    """

    encoder: Tuple[str, Dict[str, Any]]
    decoder: Optional[Tuple[str, Dict[str, Any]]]
    model: Tuple[Optional[str], Dict[str, Any]]
    rules: List[Rule]
    label_ids_K: np.ndarray


def _blstm_encoder(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """``start`` and ``ctc_start``: reference/models.md (b)."""
    num_layers = count(parameters, "encoder/layers/{}/fw/param_W")
    convolutions = CHANNELS["conv_blstm"]
    sizes = {
        "conv_channels": [
            parameters[f"encoder/pre_conv_net/conv{i}/bias"].shape[0]
            for i in range(convolutions)
        ],
        "num_layers": num_layers,
        "hidden_size": parameters["encoder/layers/0/fw/param_W_re"].shape[0],
    }
    rules = blstm_encoder_rules(num_layers, convolutions)
    return {**experiment.encoder, **sizes}, rules


def _encoder(
    parameters: Arrays, experiment: OriginalExperiment
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the encoder and its rules."""
    read: Callable = {
        "orig": orig_encoder,
        "old_moh": old_conformer_encoder,
        "old_nick": old_conformer_encoder,
        "returnn_common": conformer_encoder,
    }[experiment.family]
    if read is conformer_encoder and experiment.resolved.get("encoder") == "conv_blstm":
        read = _blstm_encoder
    return read(parameters, experiment)


def _lstm_sizes(parameters: Arrays, name: str, zoneout: bool) -> Tuple[int, int]:
    """Hidden size; input size, where one kernel needs it, else 0."""
    if not zoneout:
        return parameters[f"{name}/param_W_re"].shape[0], 0
    rows, columns = parameters[f"{name}/param_kernel"].shape
    return columns // 4, rows - columns // 4


def _transducer_decoder(
    parameters: Arrays,
    ids_K: np.ndarray,
    encoder_size: int,
    experiment: OriginalExperiment,
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the transducers' decoder, and rules: reference/models.md (b), (e)."""
    if experiment.family == "orig":
        return orig_decoder(parameters, ids_K, encoder_size, experiment)
    options = dict(experiment.decoder)
    hidden, zoneout_input = _lstm_sizes(parameters, "lm/lstm", "zoneout" in options)
    joint = dict(options["joint"])
    joint["readout_size"] = parameters["readout_in_bias"].shape[0]
    attention = joint.get("attention")
    if attention:
        key_size = parameters["att_query/weight"].shape[1]
        joint["attention"] = {**attention, "key_size": key_size}
    options["embedding_size"] = parameters["lm/embed/weight"].shape[1]
    options.update(hidden_size=hidden, joint=joint)
    return options, [
        *prediction_rules(ids_K, zoneout_input),
        *joint_rules(ids_K, attention=bool(attention)),
    ]


def _attention_decoder(
    parameters: Arrays,
    ids_K: np.ndarray,
    encoder_size: int,
    experiment: OriginalExperiment,
) -> Tuple[Dict[str, Any], List[Rule]]:
    """Options of the attention decoder, and rules: reference/models.md (g)."""
    options = dict(experiment.decoder)
    hidden, zoneout_input = _lstm_sizes(parameters, "s", "zoneout" in options)
    options.update(
        embedding_size=parameters["target_embed/weight"].shape[1],
        hidden_size=hidden,
        key_size=parameters["enc_ctx/bias"].shape[0],
        readout_size=parameters["readout_in/bias"].shape[0],
    )
    return options, attention_decoder_rules(ids_K, zoneout_input)


OUTPUTS = {  # biases of the outputs over labels, and how many more they have
    "out_nb_label_logits/bias": 0,
    "output_prob/bias": 0,
    "output/rec/label_log_prob/b": 0,
    "logits/bias": 1,
}


def _number_of_labels(parameters: Arrays, experiment: OriginalExperiment) -> int:
    """K, from whichever output layer there is."""
    for name, more in OUTPUTS.items():
        if name in parameters:
            return parameters[name].shape[0] - more
    heads = [n for n in parameters if re.fullmatch(r"enc_aux_logits_\d+/bias", n)]
    if not heads:
        raise FormatError(
            "the file holds no output layer (out_nb_label_logits, logits or "
            "enc_aux_logits_N)",
            expected="parameters of a transducer, attention or CTC experiment",
        )
    form = (experiment.model.get("aux_ctc") or {}).get("form", "ff")
    return parameters[heads[0]].shape[0] - (1 if form == "ff" else 0)


def default_bos(experiment: OriginalExperiment, labels: int) -> int:
    """Original label that begins a sequence in the array files.

    parity/README.md: the last one; label 0 in attention models, and in the searches of
    ``orig``, whose training has a zero vector in its place.
    """
    attention = experiment.resolved.get("model") == "attention_encoder_decoder"
    return 0 if attention or experiment.family == "orig" else labels - 1


def _aux_ctc(
    parameters: Arrays,
    experiment: OriginalExperiment,
    layers: int,
    ids_K: np.ndarray,
    recognition: bool,
) -> Tuple[Optional[Dict[str, Any]], List[Rule]]:
    """Auxiliary outputs that exist in the stage, and their rules."""
    options = experiment.aux_layers(layers)
    optional = recognition or options.get("weight") == 0.0
    if optional and not any(n.startswith("enc_aux_logits_") for n in parameters):
        options = {}
    if not options:
        return None, []
    separate = options["form"] == "ff"
    if not separate:
        options["blank_token"] = int(ids_K[-1])
    return options, ctc_head_rules(options["layers"], ids_K, separate)


def _encoder_width(options: Dict[str, Any]) -> int:
    return options.get("model_size") or 2 * options["hidden_size"]


def size_experiment(
    experiment: OriginalExperiment,
    parameters: Arrays,
    bos: Optional[int] = None,
    recognition: bool = False,
) -> SizedExperiment:
    """Configuration with the sizes of ``parameters``.

    Args:
        experiment: What is built.
        parameters: Original name -> array.
        bos: Original label used as BOS; see ``default_bos``.
        recognition: Auxiliary outputs, which it does not need, may be absent.

    Raises:
        FormatError: The parameters are not those of the experiment.
    """
    try:
        return _size(experiment, parameters, bos, recognition)
    except KeyError as error:
        raise FormatError(
            f"parameter {error} is missing",
            next_step="check that --experiment names the experiment the file is of",
        ) from None


def _size(experiment, parameters, bos, recognition) -> SizedExperiment:
    encoder, rules = _encoder(parameters, experiment)
    labels = _number_of_labels(parameters, experiment)
    bos = default_bos(experiment, labels) if bos is None else bos
    ids_K = label_ids(labels, bos)
    layers = encoder["num_layers"]
    aux_ctc, more = _aux_ctc(parameters, experiment, layers, ids_K, recognition)
    rules += more
    keys = ("encoder", "decoder", "model")
    names = {key: experiment.resolved.get(key) for key in keys}
    options: Dict[str, Any] = {"loss_reduction": "sum"}
    if experiment.model.get("l2"):
        options["l2"] = dict(experiment.model["l2"])
    if aux_ctc:
        options["aux_ctc"] = aux_ctc
    decoder = None
    arguments = (parameters, ids_K, _encoder_width(encoder), experiment)
    starts = experiment.model.get("transducer_start_epoch") or 1
    if names["model"] == "ctc":
        rules += ctc_output_rules(ids_K)
    elif names["model"] == "attention_encoder_decoder":
        decoder, more = _attention_decoder(*arguments)
        rules += more
    elif starts > 1 and "lm/embed/weight" not in parameters:
        names["model"] = None  # before the transducer starts
    else:
        decoder, more = _transducer_decoder(*arguments)
        rules += more
    return SizedExperiment(
        (names["encoder"], encoder),
        None if decoder is None else (names["decoder"], decoder),
        (names["model"], options),
        rules,
        ids_K,
    )
