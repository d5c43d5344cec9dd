"""Model and data of an alignment command, through ESPnet's own loaders."""

import argparse
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
import yaml

from espnet_ext.alignment.batches import Load
from espnet_ext.alignment.frames import frame_shift, look_ahead
from espnet_ext.alignment.outputs import Output, get_output
from espnet_ext.alignment.store import AlignmentInfo
from espnet_ext.alignment.words import units_of
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.asr.loss.warprnnt_shim import install
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import PathLike, read_lines
from espnet_ext.inference.latency import rate_of

STOCK_TRANSDUCER = "transducer"  # among the names of ESPnet's decoders


class Loaded(NamedTuple):
    """A model in evaluation mode, its configuration, and the chosen output."""

    model: torch.nn.Module
    config: argparse.Namespace
    output: Output


def load_model(
    config: PathLike, weights: PathLike, output: str, device: str = "cpu"
) -> Loaded:
    """Load a model of ours or of ESPnet.

    Raises:
        MissingInputError: A file does not exist.
        FormatError: The configuration is of no training, or the weights are of
            another model.
        OptionError: It has no such output, or there is no such device.
    """
    from espnet_ext.register import register
    from espnet_ext.tasks.asr import TransducerTask

    for path in (config, weights):
        if not Path(path).is_file():
            raise MissingInputError(
                "there is no such file", where=path, next_step="./run.sh --stage 11"
            )
    _check_device(device)
    register()
    if _settings(config).get("decoder") == STOCK_TRANSDUCER:
        install()  # it is built with the loss of a package that may be missing
    stored = _read_weights(weights, config)
    try:
        model, args = TransducerTask.build_model_from_file(config, weights, device)
    except RuntimeError as error:
        raise _not_its_weights(error, weights, config) from None
    # ESPnet leaves what a file lacks of a stock model as it was drawn, in silence
    missing = [name for name, _ in model.named_parameters() if name not in stored]
    if missing:
        found = f"{missing[0]} and {len(missing) - 1} more are not in it"
        raise _not_its_weights(found, weights, config)
    model.eval()
    return Loaded(model, args, get_output(model, output))


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"{device!r} cannot be used: {str(error).splitlines()[0]}",
            where="--device",
            expected="cpu, or cuda where torch finds a GPU",
        ) from None


def _settings(config: PathLike) -> Dict:
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise FormatError(f"no YAML: {line}", where=config) from None
    if not isinstance(settings, dict) or "token_list" not in settings:
        raise FormatError(
            "no configuration of a trained model: it has no token_list",
            where=config,
            expected="config.yaml in the folder of an experiment",
        )
    return settings


def _read_weights(weights: PathLike, config: PathLike) -> Dict:
    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
        return stored.get("state_dict", stored.get("module", stored))
    except Exception as error:  # of many kinds where the file is something else
        raise _not_its_weights(error, weights, config) from None


def _not_its_weights(found: object, weights: PathLike, config: PathLike) -> FormatError:
    lines = [line.strip() for line in str(found).splitlines() if line.strip()]
    return FormatError(
        f"no weights of this model: {' '.join(lines[:2])}",
        where=weights,
        expected=f"those that were trained with {config}",
        next_step="./run.sh --stage align takes both from one experiment",
    )


def describe(
    loaded: Loaded,
    weights: PathLike,
    method: str,
    topology: Optional[str] = None,
    prior_scale: float = 0.0,
    shift_s: Optional[float] = None,
    dtype: str = "float32",
) -> AlignmentInfo:
    """The info of alignments with this model; frame shift and look-ahead are measured.

    Args:
        loaded: The model.
        weights: Its file, for the record.
        method: Of the aligner.
        topology: None for the one of the output.
        prior_scale: For the record.
        shift_s: Frame shift where the input are features of unknown rate.
        dtype: Type to compute the encoder in.

    Raises:
        OptionError: No frame shift was given and the model takes features.
    """
    output, config = loaded.output, loaded.config
    ahead = -1.0
    if getattr(loaded.model, "frontend", None) is not None:
        rate = rate_of(loaded.model, config)
        device = next(loaded.model.parameters()).device

        def encode(speech, lengths):
            return output.frames(speech.to(device), lengths.to(device))

        shift_s = shift_s or frame_shift(encode, rate)
        ahead = look_ahead(encode, rate, shift_s)
    if shift_s is None:
        raise OptionError(
            "the model takes features, whose rate is not known",
            where="--frame_shift",
            expected="seconds from one encoder frame to the next",
        )
    tokens = tuple(config.token_list)
    return AlignmentInfo(
        topology=get_topology(topology or output.topology).name,
        tokens=tokens,
        frame_shift_s=shift_s,
        look_ahead_s=ahead,
        method=method,
        output=output.name,
        prior_scale=prior_scale,
        model=str(weights),
        units=units_of(getattr(config, "token_type", None), tokens),
        dtype=dtype,
    )


def open_data(
    config: argparse.Namespace,
    sources: Sequence[Tuple[str, str, str]],
    key_file: Optional[PathLike] = None,
) -> Tuple[List[str], Load]:
    """Utterance ids and a function that loads one, text as token ids.

    Args:
        config: Of the model: its preprocessor makes the tokens.
        sources: (path, ``speech`` or ``text``, ESPnet's type).
        key_file: Its first fields name the utterances; all of the text if not given.

    Raises:
        OptionError: Speech or text is missing, or of an unknown type.
        MissingInputError: A file does not exist.
        FormatError: A file cannot be read, or the token list has no unknown token.
    """
    from espnet2.train.dataset import ESPnetDataset
    from typeguard import suppress_type_checks

    from espnet_ext.tasks.asr import TransducerTask

    by_name = {name: (path, kind) for path, name, kind in sources}
    if set(by_name) != {"speech", "text"}:
        raise OptionError(
            f"data for {', '.join(sorted(by_name)) or 'nothing'}",
            where="--data_path_and_name_and_type",
            expected="speech and text, each once",
        )
    option = "--data_path_and_name_and_type"
    files = {f"{option} {name}": path for name, (path, _) in by_name.items()}
    files["--key_file"] = key_file
    files["bpemodel of --asr_train_config"] = getattr(config, "bpemodel", None)
    for where, path in files.items():
        if path and not Path(path).is_file():
            raise MissingInputError(
                f"there is no file {path}",
                where=where,
                next_step="start in the folder that relative paths begin at",
            )
    try:
        preprocess = TransducerTask.build_preprocess_fn(config, train=False)
        dataset = ESPnetDataset(list(sources), preprocess=preprocess)
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise FormatError(
            f"the data cannot be opened: {str(error).strip().splitlines()[0]}",
            where=", ".join(path for path, _ in by_name.values()),
            expected="UTTERANCE FILE, or UTTERANCE TEXT, in each line, each once, and "
            "the type sound or text",
        ) from error
    lines = read_lines(key_file or by_name["text"][0])
    ids = [line.split(maxsplit=1)[0] for line in lines if line.strip()]

    def load(key: str) -> Dict[str, np.ndarray]:
        # ESPnet's checks of every argument take as long as reading a short utterance
        with suppress_type_checks():
            return dataset[key][1]

    return ids, load
