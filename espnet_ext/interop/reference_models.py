"""Builds the model of a named experiment with the sizes found in an array file."""

from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
from espnet2.asr.ctc import CTC

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError
from espnet_ext.interop.returnn import (
    Arrays,
    Rule,
    blstm_encoder_rules,
    label_ids,
    load_parameters,
    parameters_of,
    transducer_decoder_rules,
)
from espnet_ext.names import nearest


class ReferenceModel(NamedTuple):
    """A model with original parameters, and how to translate.

    Attributes:
        model: Ours, in evaluation mode; takes features in place of speech.
        rules: Original parameter names to ours.
        label_ids_K: Our token id of each original label.
    """

    model: TransducerModel
    rules: List[Rule]
    label_ids_K: np.ndarray


def _count(parameters: Arrays, pattern: str) -> int:
    number = 0
    while pattern.format(number) in parameters:
        number += 1
    return number


def build_start(parameters: Arrays, input_size: int, bos: Optional[int]):
    """Experiments ``start`` and ``start_slowpretrain``: reference/models.md (b)."""
    num_layers = _count(parameters, "encoder/layers/{}/fw/param_W")
    num_convolutions = _count(parameters, "encoder/pre_conv_net/conv{}/filter")
    num_labels = parameters["out_nb_label_logits/bias"].shape[0]
    hidden_size = parameters["encoder/layers/0/fw/param_W_re"].shape[0]
    encoder = ConvBlstmEncoder(
        input_size,
        conv_channels=[
            parameters[f"encoder/pre_conv_net/conv{i}/bias"].shape[0]
            for i in range(num_convolutions)
        ],
        conv_feature_pooling=[2] * num_convolutions,
        num_layers=num_layers,
        hidden_size=hidden_size,
    )
    decoder = LstmTransducerDecoder(
        num_labels + 1,
        encoder.output_size(),
        embedding_size=parameters["lm/embed/weight"].shape[1],
        hidden_size=parameters["lm/lstm/param_W_re"].shape[0],
        joint={
            "readout_size": parameters["readout_in_bias"].shape[0],
            "attention": {
                "key_size": parameters["att_query/weight"].shape[1],
                "scale": "window_size",
                "padding": "visible",
            },
        },
    )
    ids_K = label_ids(num_labels, bos)
    tokens = ["<blank>", *(f"label{i}" for i in range(1, num_labels)), "<sos/eos>"]
    model = TransducerModel(
        vocab_size=num_labels + 1,
        token_list=tokens,
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(num_labels + 1, encoder.output_size()),
        loss_reduction="sum",
    )
    rules = blstm_encoder_rules(num_layers, num_convolutions)
    return ReferenceModel(model, rules + transducer_decoder_rules(ids_K), ids_K)


BUILDERS: Dict[str, Callable] = {
    "start": build_start,
    "start_slowpretrain": build_start,
}


def build_reference_model(
    experiment: str, arrays: Arrays, bos: Optional[int] = None
) -> ReferenceModel:
    """Model of ``experiment`` with sizes and parameters of an array file.

    Args:
        experiment: Name as in the original, for example ``start``.
        arrays: Content of the file; parameters under ``param:``, input ``in:data``.
        bos: Original label used as BOS; the last one by default.

    Raises:
        OptionError: The experiment is not supported yet.
        FormatError: The parameters are not those of the experiment.
    """
    if experiment not in BUILDERS:
        raise OptionError(
            f"experiment {experiment!r} has no model yet",
            expected=", ".join(sorted(BUILDERS)),
            next_step=f"nearest: {nearest(experiment, BUILDERS) or 'none'}",
        )
    parameters = parameters_of(arrays)
    reference = BUILDERS[experiment](parameters, arrays["in:data"].shape[-1], bos)
    load_parameters(reference.model, parameters, reference.rules)
    reference.model.eval()
    return reference
