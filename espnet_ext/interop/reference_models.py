"""Builds the model of a named experiment with the sizes found in an array file."""

# Dimensions: K labels without blank, V = K + 1
import re
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from espnet2.asr.ctc import CTC

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.encoder_model import EncoderModel
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.interop.experiment_names import (
    NamedExperiment,
    parse_experiment,
    smoothing_at,
)
from espnet_ext.interop.parameter_maps import (
    attention_decoder_rules,
    blstm_encoder_rules,
    ctc_head_rules,
    ctc_output_rules,
    joint_rules,
    prediction_rules,
)
from espnet_ext.interop.reference_conformer import build_conformer, count
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
    experiment: NamedExperiment

    def original_ids_V(self) -> np.ndarray:
        """The original's label of each of our token ids; its blank is the last."""
        labels = len(self.label_ids_K)
        ids_V = np.empty(labels + 1, dtype=np.int64)
        ids_V[self.label_ids_K] = np.arange(labels)
        ids_V[0] = labels
        return ids_V


def _blstm_encoder(
    parameters: Arrays, input_size: int, experiment: NamedExperiment
) -> Tuple[ConvBlstmEncoder, List[Rule]]:
    """``start`` and ``ctc_start``: reference/models.md (b)."""
    num_layers = count(parameters, "encoder/layers/{}/fw/param_W")
    num_convolutions = count(parameters, "encoder/pre_conv_net/conv{}/filter")
    encoder = ConvBlstmEncoder(
        input_size,
        conv_channels=[
            parameters[f"encoder/pre_conv_net/conv{i}/bias"].shape[0]
            for i in range(num_convolutions)
        ],
        conv_feature_pooling=[2] * num_convolutions,
        num_layers=num_layers,
        hidden_size=parameters["encoder/layers/0/fw/param_W_re"].shape[0],
    )
    return encoder, blstm_encoder_rules(num_layers, num_convolutions)


ENCODERS: Dict[str, Callable] = {
    "orig": build_orig_encoder,
    "start": _blstm_encoder,
    "ctc_start": _blstm_encoder,
    "att_conformer": build_conformer,
    "conformer": build_conformer,
    "ctc_conformer": build_conformer,
}


def _decoder(parameters: Arrays, num_labels: int, encoder_size: int):
    """Decoder of the transducers: reference/models.md (b), (e)."""
    embedding_size = parameters["lm/embed/weight"].shape[1]
    attention = None
    if "att_query/weight" in parameters:
        attention = {
            "key_size": parameters["att_query/weight"].shape[1],
            "scale": "window_size",
            "padding": "visible",
        }
    options = {}
    zoneout = "lm/lstm/param_kernel" in parameters
    if zoneout:
        rows, columns = parameters["lm/lstm/param_kernel"].shape
        hidden_size = columns // 4
        options["zoneout"] = {"cell": 0.15, "output": 0.05, "step_output": "plain"}
    else:
        hidden_size = parameters["lm/lstm/param_W_re"].shape[0]
    return LstmTransducerDecoder(
        num_labels + 1,
        encoder_size,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        joint={
            "readout_size": parameters["readout_in_bias"].shape[0],
            "attention": attention,
        },
        **options,
    )


def _attention_decoder(parameters: Arrays, ids_K: np.ndarray, encoder_size: int):
    """Decoder of the attention models and its rules: reference/models.md (g)."""
    embedding_size = parameters["target_embed/weight"].shape[1]
    kernel = parameters.get("s/param_kernel")
    zoneout, zoneout_input = None, 0
    if kernel is None:
        hidden_size = parameters["s/param_W_re"].shape[0]
    else:
        zoneout = {"cell": 0.15, "output": 0.05, "step_output": "plain"}
        zoneout_input, hidden_size = embedding_size + encoder_size, kernel.shape[1] // 4
    decoder = MlpAttentionDecoder(
        len(ids_K) + 1,
        encoder_size,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        key_size=parameters["enc_ctx/bias"].shape[0],
        readout_size=parameters["readout_in/bias"].shape[0],
        zoneout=zoneout,
    )
    return decoder, attention_decoder_rules(ids_K, zoneout_input)


def _head_numbers(parameters: Arrays) -> List[int]:
    found = [re.fullmatch(r"enc_aux_logits_(\d+)/weight", name) for name in parameters]
    return sorted(int(match[1]) for match in found if match)


def _number_of_labels(parameters: Arrays, experiment: NamedExperiment) -> int:
    """K, from whichever output layer there is."""
    if "out_nb_label_logits/bias" in parameters:
        return parameters["out_nb_label_logits/bias"].shape[0]
    if "output_prob/bias" in parameters:
        return parameters["output_prob/bias"].shape[0]
    if "output/rec/label_log_prob/b" in parameters:
        return parameters["output/rec/label_log_prob/b"].shape[0]
    if "logits/bias" in parameters:
        return parameters["logits/bias"].shape[0] - 1
    numbers = _head_numbers(parameters)
    if not numbers:
        raise FormatError(
            "the file holds no output layer (out_nb_label_logits, logits or "
            "enc_aux_logits_N)",
            expected="parameters of a transducer or CTC experiment",
        )
    classes = parameters[f"enc_aux_logits_{numbers[0]}/bias"].shape[0]
    return classes - 1 if experiment.aux_form == "ff" else classes


def _smoothing(experiment: NamedExperiment, encoder, sub_epoch: Optional[int]):
    """``label_smoothing`` of the sub-epoch and growing stage the file is of."""
    if experiment.smoothing is None:
        return None
    layers = len(encoder.layers)
    if sub_epoch is None:  # growing files are of sub-epoch 15, see parity/README.md
        sub_epoch = 15 if layers == 4 else 60
    scale = smoothing_at(experiment, sub_epoch, layers)
    return {"type": experiment.smoothing, "scale": scale}


def _model(
    parameters: Arrays,
    experiment: NamedExperiment,
    encoder,
    ids_K: np.ndarray,
    sub_epoch: Optional[int],
) -> Tuple[EncoderModel, List[Rule]]:
    """Model around an encoder, and the rules of everything but the encoder."""
    num_labels = len(ids_K)
    tokens = ["<blank>", *(f"label{i}" for i in range(1, num_labels)), "<sos/eos>"]
    numbers = _head_numbers(parameters)
    aux_ctc = None
    rules: List[Rule] = []
    if numbers:
        aux_ctc = {
            "layers": numbers,
            "form": experiment.aux_form,
            "blank_token": int(ids_K[-1]),
        }
        rules = ctc_head_rules(numbers, ids_K, experiment.aux_form == "ff")
    common = {
        "vocab_size": num_labels + 1,
        "token_list": tokens,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "preencoder": None,
        "encoder": encoder,
        "postencoder": None,
        "ctc": CTC(num_labels + 1, encoder.output_size()),
        "aux_ctc": aux_ctc,
        "loss_reduction": "sum",
    }
    if experiment.family == "orig":
        if experiment.blank_first:
            raise OptionError(
                "orig experiments whose blank column is misplaced cannot be compared",
                expected="a name with fixsepblanklast",
            )
        decoder, more = build_orig_decoder(parameters, ids_K, encoder.output_size())
        return TransducerModel(decoder=decoder, **common), [*rules, *more]
    if experiment.family == "att_conformer":
        decoder, more = _attention_decoder(parameters, ids_K, encoder.output_size())
        smoothing = None
        if experiment.smoothing is not None:
            apply = "gradient" if experiment.smoothing_schedule == "g" else "target"
            smoothing = {"scale": experiment.smoothing_scale, "apply": apply}
        model = AttentionModel(decoder=decoder, label_smoothing=smoothing, **common)
        return model, [*rules, *more]
    if "logits/weight" in parameters:
        return CtcModel(**common), [*rules, *ctc_output_rules(ids_K)]
    if "lm/embed/weight" not in parameters:  # before the transducer starts (transdN)
        model = EncoderModel(decoder=None, joint_network=None, ctc_weight=1.0, **common)
        model.ctc = None
        return model, rules
    decoder = _decoder(parameters, num_labels, encoder.output_size())
    kernel = parameters.get("lm/lstm/param_kernel")
    zoneout_input = 0
    if kernel is not None:
        zoneout_input = kernel.shape[0] - kernel.shape[1] // 4
    smoothing = _smoothing(experiment, encoder, sub_epoch)
    model = TransducerModel(decoder=decoder, label_smoothing=smoothing, **common)
    return model, [
        *rules,
        *prediction_rules(ids_K, zoneout_input),
        *joint_rules(ids_K, attention="att_query/weight" in parameters),
    ]


def input_size_of(arrays: Arrays) -> int:
    """Number of features, from the input of the file or of its first set."""
    for name, array in arrays.items():
        if re.fullmatch(r"(.*:)?(in:data|data)", name):
            return array.shape[-1]
    raise FormatError(
        "the file holds no input (in:data, SET:in:data or batchN:data)",
        expected="an array file as reference/parity/README.md describes",
    )


def assemble(
    experiment: NamedExperiment,
    parameters: Arrays,
    input_size: int,
    bos: Optional[int] = None,
    sub_epoch: Optional[int] = None,
) -> ReferenceModel:
    """The model with sizes of ``parameters``, which are not loaded.

    Raises:
        OptionError: There is no model of the family.
    """
    if experiment.family not in ENCODERS:
        raise OptionError(
            f"experiments of the family {experiment.family!r} cannot be compared yet",
            expected=", ".join(sorted(ENCODERS)),
        )
    try:
        encoder, rules = ENCODERS[experiment.family](parameters, input_size, experiment)
        if bos is None and experiment.family == "att_conformer":
            bos = 0  # parity/README.md: label 0 ends and begins
        ids_K = label_ids(_number_of_labels(parameters, experiment), bos)
        model, more = _model(parameters, experiment, encoder, ids_K, sub_epoch)
    except KeyError as error:
        raise FormatError(
            f"parameter {error} is missing",
            next_step="check that --experiment names the experiment the file is of",
        ) from None
    return ReferenceModel(model.eval(), [*rules, *more], ids_K, experiment)


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
        bos: Original label used as BOS; the last one by default.
        sub_epoch: 1-based; only needed for a smoothing that warms up. By default 15
            for four layers, else after the warm-up.

    Raises:
        OptionError: The experiment is not supported.
        FormatError: The parameters are not those of the experiment.
    """
    parameters = parameters_of(arrays)
    reference = assemble(
        parse_experiment(experiment),
        parameters,
        input_size_of(arrays),
        bos,
        sub_epoch,
    )
    load_parameters(reference.model, parameters, reference.rules)
    return reference
