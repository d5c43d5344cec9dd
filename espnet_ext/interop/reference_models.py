"""Builds the model of a named experiment with the sizes found in its parameters."""

# Dimensions: K labels without blank, V = K + 1
import re
from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np
from espnet2.asr.ctc import CTC

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.encoder_model import EncoderModel
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import FormatError
from espnet_ext.interop.original_experiment import (
    OriginalExperiment,
    original_experiment,
)
from espnet_ext.interop.parameter_maps import (
    attention_decoder_rules,
    blstm_encoder_rules,
    ctc_head_rules,
    ctc_output_rules,
    joint_rules,
    prediction_rules,
)
from espnet_ext.interop.reference_conformer import CHANNELS, build_conformer, count
from espnet_ext.interop.reference_old_conformer import build_old_conformer
from espnet_ext.interop.reference_orig import build_orig_decoder, build_orig_encoder
from espnet_ext.interop.returnn import (
    Arrays,
    Rule,
    label_ids,
    load_parameters,
    parameters_of,
)


class ReferenceModel(NamedTuple):
    """A model with original parameters, and how to translate.

    Attributes:
        model: Ours, in evaluation mode; takes features in place of speech.
        rules: Original parameter names to ours.
        label_ids_K: Our token id of each original label.
        experiment: What the name says.
    """

    model: EncoderModel
    rules: List[Rule]
    label_ids_K: np.ndarray
    experiment: OriginalExperiment

    def original_ids_V(self) -> np.ndarray:
        """The original's label of each of our token ids; its blank is the last."""
        labels = len(self.label_ids_K)
        ids_V = np.empty(labels + 1, dtype=np.int64)
        ids_V[self.label_ids_K] = np.arange(labels)
        ids_V[0] = labels
        return ids_V


def _blstm_encoder(
    parameters: Arrays, input_size: int, experiment: OriginalExperiment
) -> Tuple[ConvBlstmEncoder, List[Rule]]:
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
    encoder = ConvBlstmEncoder(input_size, **{**experiment.encoder, **sizes})
    return encoder, blstm_encoder_rules(num_layers, convolutions)


def _encoder(parameters: Arrays, input_size: int, experiment: OriginalExperiment):
    """Encoder and its rules."""
    build: Callable = {
        "orig": build_orig_encoder,
        "old_moh": build_old_conformer,
        "old_nick": build_old_conformer,
        "returnn_common": build_conformer,
    }[experiment.family]
    if build is build_conformer and experiment.resolved.get("encoder") == "conv_blstm":
        build = _blstm_encoder
    return build(parameters, input_size, experiment)


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
) -> Tuple[LstmTransducerDecoder, List[Rule]]:
    """Decoder of the transducers and its rules: reference/models.md (b), (e)."""
    if experiment.family == "orig":
        return build_orig_decoder(parameters, ids_K, encoder_size, experiment)
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
    decoder = LstmTransducerDecoder(len(ids_K) + 1, encoder_size, **options)
    return decoder, [
        *prediction_rules(ids_K, zoneout_input),
        *joint_rules(ids_K, attention=bool(attention)),
    ]


def _attention_decoder(
    parameters: Arrays,
    ids_K: np.ndarray,
    encoder_size: int,
    experiment: OriginalExperiment,
) -> Tuple[MlpAttentionDecoder, List[Rule]]:
    """Decoder of the attention models and its rules: reference/models.md (g)."""
    options = dict(experiment.decoder)
    hidden, zoneout_input = _lstm_sizes(parameters, "s", "zoneout" in options)
    options.update(
        embedding_size=parameters["target_embed/weight"].shape[1],
        hidden_size=hidden,
        key_size=parameters["enc_ctx/bias"].shape[0],
        readout_size=parameters["readout_in/bias"].shape[0],
    )
    decoder = MlpAttentionDecoder(len(ids_K) + 1, encoder_size, **options)
    return decoder, attention_decoder_rules(ids_K, zoneout_input)


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


def _model(
    parameters: Arrays,
    experiment: OriginalExperiment,
    encoder,
    ids_K: np.ndarray,
    sub_epoch: Optional[int],
    recognition: bool,
) -> Tuple[EncoderModel, List[Rule]]:
    """Model around an encoder, and the rules of everything but the encoder."""
    layers, labels = encoder.stage.layers, len(ids_K)
    size = encoder.output_size()
    aux_ctc = experiment.aux_layers(layers)
    optional = recognition or aux_ctc.get("weight") == 0.0
    if optional and not any(n.startswith("enc_aux_logits_") for n in parameters):
        aux_ctc = {}
    rules: List[Rule] = []
    if aux_ctc:
        separate = aux_ctc["form"] == "ff"
        if not separate:
            aux_ctc["blank_token"] = int(ids_K[-1])
        rules = ctc_head_rules(aux_ctc["layers"], ids_K, separate)
    tokens = ["<blank>", *(f"label{i}" for i in range(1, labels)), "<sos/eos>"]
    common = {
        "vocab_size": labels + 1,
        "token_list": tokens,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "preencoder": None,
        "encoder": encoder,
        "postencoder": None,
        "ctc": CTC(labels + 1, size),
        "aux_ctc": aux_ctc or None,
        "loss_reduction": "sum",
    }
    kind = experiment.resolved.get("model")
    starts = experiment.model.get("transducer_start_epoch") or 1
    if kind == "full_sum_transducer" and starts > 1 and "lm/embed/weight" not in (
        parameters
    ):
        model = EncoderModel(decoder=None, joint_network=None, ctc_weight=1.0, **common)
        model.ctc = None
        return model, rules
    arguments = (parameters, ids_K, size, experiment)
    if kind == "ctc":
        model = CtcModel(**common)
        more = ctc_output_rules(ids_K)
    elif kind == "attention_encoder_decoder":
        decoder, more = _attention_decoder(*arguments)
        model = AttentionModel(decoder=decoder, **common)
    else:
        decoder, more = _transducer_decoder(*arguments)
        model = TransducerModel(decoder=decoder, **common)
    model.smoothing = experiment.smoothing(layers, sub_epoch)
    return model, [*rules, *more]


def input_size_of(arrays: Arrays) -> int:
    """Number of features, from the input of the file or of its first set."""
    for name, array in arrays.items():
        if re.fullmatch(r"(.*:)?(in:data|data)", name):
            return array.shape[-1]
    raise FormatError(
        "the file holds no input (in:data, SET:in:data or batchN:data)",
        expected="an array file as reference/parity/README.md describes",
    )


def default_bos(experiment: OriginalExperiment, labels: int) -> int:
    """Original label that begins a sequence in the array files.

    parity/README.md: the last one; label 0 in attention models, and in the searches of
    ``orig``, whose training has a zero vector in its place.
    """
    attention = experiment.resolved.get("model") == "attention_encoder_decoder"
    return 0 if attention or experiment.family == "orig" else labels - 1


def assemble(
    experiment: OriginalExperiment,
    parameters: Arrays,
    input_size: int,
    bos: Optional[int] = None,
    sub_epoch: Optional[int] = None,
    recognition: bool = False,
) -> ReferenceModel:
    """The model with sizes of ``parameters``, which are not loaded.

    ``recognition``: auxiliary outputs, which it does not need, may be absent.

    Raises:
        FormatError: The parameters are not those of the experiment.
    """
    try:
        encoder, rules = _encoder(parameters, input_size, experiment)
        labels = _number_of_labels(parameters, experiment)
        ids_K = label_ids(labels, default_bos(experiment, labels) if bos is None else bos)
        model, more = _model(
            parameters, experiment, encoder, ids_K, sub_epoch, recognition
        )
    except KeyError as error:
        raise FormatError(
            f"parameter {error} is missing",
            next_step="check that --experiment names the experiment the file is of",
        ) from None
    _check_sub_epoch(experiment, encoder.stage.layers, sub_epoch)
    return ReferenceModel(model.eval(), [*rules, *more], ids_K, experiment)


def _check_sub_epoch(
    experiment: OriginalExperiment, layers: int, sub_epoch: Optional[int]
) -> None:
    expected = experiment.resolved.growth
    if sub_epoch is not None and expected.layers_at(sub_epoch) != layers:
        raise FormatError(
            f"the encoder of the file has {layers} layers, that of the experiment "
            f"{expected.layers_at(sub_epoch)} in sub-epoch {sub_epoch}",
            next_step="say the right --sub-epoch or --experiment",
        )


def build_reference_model(
    experiment: str,
    arrays: Arrays,
    bos: Optional[int] = None,
    sub_epoch: Optional[int] = None,
) -> ReferenceModel:
    """Model of ``experiment`` with sizes and parameters of an array file.

    Args:
        experiment: Name as in the original, for example ``start``.
        arrays: Content of the file; parameters under ``param:``, input ``in:data``.
        bos: Original label used as BOS; see ``default_bos``.
        sub_epoch: 1-based; matters for a smoothing that warms up. By default the fifth
            of the growing stage, and after the warm-up where growth is complete.

    Raises:
        OptionError: There is no such experiment.
        FormatError: The parameters are not those of the experiment.
    """
    parameters = parameters_of(arrays)
    reference = assemble(
        original_experiment(experiment),
        parameters,
        input_size_of(arrays),
        bos,
        sub_epoch,
        recognition=not any(name.endswith("targets") for name in arrays),
    )
    load_parameters(reference.model, parameters, reference.rules)
    return reference
