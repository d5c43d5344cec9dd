"""Builds the model of a named experiment with the sizes found in its parameters."""

# Dimensions: K labels without blank, V = K + 1
import re
from typing import List, NamedTuple, Optional

import numpy as np
from espnet2.asr.ctc import CTC
from espnet2.tasks import asr

from espnet_ext.asr.encoder_model import EncoderModel
from espnet_ext.errors import FormatError
from espnet_ext.interop.original_experiment import (
    OriginalExperiment,
    original_experiment,
)
from espnet_ext.interop.reference_config import SizedExperiment, size_experiment
from espnet_ext.interop.returnn import Arrays, Rule, load_parameters, parameters_of
from espnet_ext.register import register


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


def token_list(num_labels: int) -> List[str]:
    """Placeholders for blank, all labels, and the label that is BOS."""
    return ["<blank>", *(f"label{i}" for i in range(1, num_labels)), "<sos/eos>"]


def _model(
    sized: SizedExperiment, experiment: OriginalExperiment, encoder, sub_epoch
) -> EncoderModel:
    """Model around an encoder."""
    vocab_size, width = len(sized.label_ids_K) + 1, encoder.output_size()
    kind, options = sized.model
    arguments = {
        "vocab_size": vocab_size,
        "token_list": token_list(vocab_size - 1),
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "preencoder": None,
        "encoder": encoder,
        "postencoder": None,
        "ctc": CTC(vocab_size, width),
        "joint_network": None,
        "decoder": None,
        **options,
    }
    if kind is None:
        model = EncoderModel(ctc_weight=1.0, **arguments)
        model.ctc = None
        return model
    if sized.decoder is not None:
        name, decoder_options = sized.decoder
        plugin = asr.decoder_choices.get_class(name)
        arguments["decoder"] = plugin(vocab_size, width, **decoder_options)
    model = asr.model_choices.get_class(kind)(**arguments)
    model.smoothing = experiment.smoothing(encoder.stage.layers, sub_epoch)
    return model


def input_size_of(arrays: Arrays) -> int:
    """Number of features, from the input of the file or of its first set."""
    for name, array in arrays.items():
        if re.fullmatch(r"(.*:)?(in:data|data)", name):
            if array.ndim != 3:
                raise FormatError(
                    f"array {name} has shape {list(array.shape)}",
                    expected="[batch, frames, features]",
                )
            return array.shape[2]
    raise FormatError(
        "the file holds no input (in:data, SET:in:data or batchN:data)",
        expected="an array file as reference/parity/README.md describes",
    )


def assemble(
    experiment: OriginalExperiment,
    parameters: Arrays,
    input_size: int,
    bos: Optional[int] = None,
    sub_epoch: Optional[int] = None,
    recognition: bool = False,
) -> ReferenceModel:
    """The model with sizes of ``parameters``, which are not loaded.

    Arguments as ``size_experiment`` and ``build_reference_model``.

    Raises:
        FormatError: The parameters are not those of the experiment.
    """
    register()
    sized = size_experiment(experiment, parameters, bos, recognition)
    name, options = sized.encoder
    try:
        encoder = asr.encoder_choices.get_class(name)(input_size, **options)
        model = _model(sized, experiment, encoder, sub_epoch)
    except (ValueError, RuntimeError, IndexError) as error:
        raise FormatError(
            f"no model can be built with the sizes of the parameters: {error}",
            next_step="check that --experiment names the experiment the file is of",
        ) from error
    _check_sub_epoch(experiment, encoder.stage.layers, sub_epoch)
    return ReferenceModel(model.eval(), sized.rules, sized.label_ids_K, experiment)


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
        bos: Original label used as BOS; see ``reference_config.default_bos``.
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
