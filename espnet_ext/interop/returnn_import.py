"""Makes an experiment directory of a model that the original program trained.

    exp/
      config.yaml        training configuration of the model as it is, for inference
      valid.loss.best.pth  weights
      tokens.txt         units, in our order
      import.txt         every parameter: original name, ours, shape

The recognizer's features are the original's: Gammatone, with mean and variance of each
utterance normalised.
"""

import ast
import copy
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np
import torch
import yaml

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import atomic_path, atomic_write
from espnet_ext.interop.features import features_of
from espnet_ext.interop.original_experiment import original_experiment
from espnet_ext.interop.reference_config import SizedExperiment, size_experiment
from espnet_ext.interop.reference_models import ReferenceModel, assemble, token_list
from espnet_ext.interop.returnn import (
    Arrays,
    load_parameters,
    parameters_of,
    read_npz,
)
from espnet_ext.interop.tensor_bundle import read_checkpoint

MODEL_FILE = "valid.loss.best.pth"
BOOKKEEPING = ("global_step", "learning_rate")  # of the program, no parameters
BLANK, UNKNOWN, SENTENCE = "<blank>", "<unk>", "<sos/eos>"


def read_parameters(path: Union[str, Path]) -> Arrays:
    """Original name -> array, of an .npz file or of a TensorFlow checkpoint.

    Raises:
        MissingInputError, FormatError: See ``read_npz`` and ``read_checkpoint``.
    """
    arrays = read_npz(path) if str(path).endswith(".npz") else read_checkpoint(path)
    parameters = parameters_of(arrays)
    return {name: a for name, a in parameters.items() if name not in BOOKKEEPING}


def read_labels(path: Union[str, Path]) -> List[str]:
    """The original's labels in the order of their ids.

    One a line, or its vocabulary file: ``{"label": id, ...}``.

    Raises:
        MissingInputError: No such file.
        FormatError: The ids are not 0, 1, 2, ..
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError("vocabulary not found", where=path) from None
    if not text.lstrip().startswith("{"):
        return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    try:
        ids = ast.literal_eval(text)
        labels: List[Optional[str]] = [None] * (max(ids.values()) + 1)
        for label, number in sorted(ids.items()):
            if labels[number] is None:  # <s> and </s> may share an id
                labels[number] = label
    except (ValueError, SyntaxError, TypeError, IndexError) as error:
        raise FormatError(
            f"cannot be read as a vocabulary ({error})",
            where=path,
            expected='one label a line, or {"label": id, ...}',
        ) from None
    if None in labels:
        raise FormatError(
            f"no label has id {labels.index(None)}", where=path, expected="0, 1, 2, .."
        )
    return [str(label) for label in labels]


def our_tokens(ids_K: np.ndarray, labels: Optional[List[str]]) -> List[str]:
    """Blank, the labels at our ids, and the label that begins and ends sentences.

    Raises:
        OptionError: The vocabulary has another size than the output layer, or lacks
            ``<unk>``, which ESPnet asks for.
    """
    if labels is None:
        tokens = token_list(len(ids_K))
        return [BLANK, UNKNOWN, *tokens[2:]]
    if len(labels) != len(ids_K):
        raise OptionError(
            f"the vocabulary has {len(labels)} labels, the output layer {len(ids_K)}",
            expected="the vocabulary that the model was trained with, without blank",
        )
    tokens = [BLANK, *[""] * len(ids_K)]
    for number, label in zip(ids_K, labels):
        tokens[number] = label
    tokens[-1] = SENTENCE
    if UNKNOWN not in tokens:
        raise OptionError(f"the vocabulary has no {UNKNOWN}, which ESPnet needs")
    return tokens


def configuration(
    experiment: str, sized: SizedExperiment, features: int, tokens: List[str]
) -> Dict[str, Any]:
    """Training configuration that ESPnet builds the model from.

    Raises:
        OptionError: The file is of a sub-epoch in which there is no model to decode.
    """
    if sized.model[0] is None:
        raise OptionError(
            "the parameters are of a sub-epoch before the transducer starts",
            expected="a checkpoint of a later sub-epoch",
        )
    from espnet_ext.tasks.asr import TransducerTask

    parser = TransducerTask.get_parser()
    config = copy.deepcopy(vars(parser.parse_args(["--output_dir", "unused"])))
    decoder, decoder_conf = sized.decoder or (None, {})
    config.update(
        output_dir=None,
        config=None,
        token_list=tokens,
        token_type="word",  # pieces with @@ look like words
        init=None,
        input_size=None,
        frontend="gammatone",
        frontend_conf={"fs": 8000, "channels": features},
        specaug=None,
        normalize="utterance_mvn",
        normalize_conf={"norm_means": True, "norm_vars": True},
        encoder=sized.encoder[0],
        encoder_conf=sized.encoder[1],
        decoder=decoder,
        decoder_conf=decoder_conf,
        model=sized.model[0],
        model_conf=sized.model[1],
        experiment_conf={"name": experiment, "imported": True},
    )
    return _plain(config)


def _plain(value: Any) -> Any:
    """Without tuples and numpy's numbers, which safe YAML does not know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def import_model(
    checkpoint: Union[str, Path],
    experiment: str,
    out: Union[str, Path],
    labels: Optional[List[str]] = None,
    bos: int = 0,
) -> ReferenceModel:
    """Write an experiment directory; returns the model it holds.

    Args:
        checkpoint: .npz file of names and arrays, or TensorFlow checkpoint.
        experiment: Name as in the original.
        out: Directory, made where it does not exist.
        labels: Texts of the original labels; placeholders by default.
        bos: Original label that begins sentences; 0 in the original's vocabulary.

    Raises:
        FormatError: Parameters are unused, missing, or of another shape: all are named.
    """
    parameters = read_parameters(checkpoint)
    original = original_experiment(experiment)
    features = features_of(parameters)
    sized = size_experiment(original, parameters, bos)
    tokens = our_tokens(sized.label_ids_K, labels)
    reference = assemble(original, parameters, features, bos)
    load_parameters(reference.model, parameters, reference.rules)
    config = configuration(experiment, sized, features, tokens)
    _check_configuration(config, reference)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "tokens.txt") as file:
        file.writelines(f"{token}\n" for token in tokens)
    with atomic_write(folder / "import.txt") as file:
        file.write(f"# {experiment}, {len(parameters)} parameters\n")
        for rule in sorted(reference.rules, key=lambda rule: rule.original):
            shape = parameters[rule.original].shape
            file.write(f"{rule.original}\t{rule.ours}\t{shape}\n")
    with atomic_path(folder / MODEL_FILE) as part:
        torch.save(reference.model.state_dict(), part)
    with atomic_write(folder / "config.yaml") as file:
        yaml.safe_dump(config, file, sort_keys=True, allow_unicode=True)
    return reference


def _check_configuration(config: Dict[str, Any], reference: ReferenceModel) -> None:
    """The configuration builds a model that takes the weights, strictly."""
    import argparse

    from espnet_ext.tasks.asr import TransducerTask

    model = TransducerTask.build_model(argparse.Namespace(**copy.deepcopy(config)))
    model.load_state_dict(reference.model.state_dict())
