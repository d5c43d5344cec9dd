"""Model and data of an alignment command, through ESPnet's own loaders."""

import argparse
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from espnet_ext.alignment.batches import Load
from espnet_ext.alignment.frames import frame_shift, look_ahead
from espnet_ext.alignment.outputs import Output, get_output
from espnet_ext.alignment.store import AlignmentInfo
from espnet_ext.alignment.words import units_of
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.files import PathLike, read_lines

DEFAULT_RATE = 16000


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
        OptionError: It has no such output.
    """
    from espnet_ext.register import register
    from espnet_ext.tasks.asr import TransducerTask

    for path in (config, weights):
        if not Path(path).is_file():
            raise MissingInputError(
                "there is no such file", where=path, next_step="./run.sh --stage 11"
            )
    register()
    model, args = TransducerTask.build_model_from_file(config, weights, device)
    model.eval()
    return Loaded(model, args, get_output(model, output))


def rate_of(config: argparse.Namespace) -> int:
    """Sampling rate that a model was trained with, Hz."""
    rate = (getattr(config, "frontend_conf", None) or {}).get("fs", DEFAULT_RATE)
    text = str(rate).lower()
    return int(float(text.rstrip("k")) * (1000 if text.endswith("k") else 1))


def describe(
    loaded: Loaded,
    weights: PathLike,
    method: str,
    topology: Optional[str] = None,
    prior_scale: float = 0.0,
    shift_s: Optional[float] = None,
) -> AlignmentInfo:
    """The info of alignments with this model; frame shift and look-ahead are measured.

    Args:
        loaded: The model.
        weights: Its file, for the record.
        method: Of the aligner.
        topology: None for the one of the output.
        prior_scale: For the record.
        shift_s: Frame shift where the input are features of unknown rate.

    Raises:
        OptionError: No frame shift was given and the model takes features.
    """
    output, config = loaded.output, loaded.config
    ahead = -1.0
    if getattr(loaded.model, "frontend", None) is not None:
        rate = rate_of(config)
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
        OptionError: Speech or text is missing.
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
    preprocess = TransducerTask.build_preprocess_fn(config, train=False)
    dataset = ESPnetDataset(list(sources), preprocess=preprocess)
    lines = read_lines(key_file or by_name["text"][0])
    ids = [line.split(maxsplit=1)[0] for line in lines if line.strip()]

    def load(key: str) -> Dict[str, np.ndarray]:
        # ESPnet's checks of every argument take as long as reading a short utterance
        with suppress_type_checks():
            return dataset[key][1]

    return ids, load
