"""Normalised features of a model's input, in evaluation on CPUs by faster ways.

For models of ESPnet's parts: a frontend or none, normalisation or none.
"""

# Dimensions: B batch, T frames, F feature
from typing import Tuple

import torch

from espnet_ext.asr.frontend.log_mel import is_covered, log_mel
from espnet_ext.errors import AudioError
from espnet_ext.layers.utterance_mvn import is_covered as is_utterance_mvn
from espnet_ext.layers.utterance_mvn import utterance_mvn_

Features = Tuple[torch.Tensor, torch.Tensor]


def normalised_features(
    model, speech: torch.Tensor, speech_lengths: torch.Tensor
) -> Features:
    """Features [B, T, F] and their lengths [B].

    In single precision also where the model is trained in mixed precision, as ESPnet
    does it, unless ``autocast_frontend`` is set: normalisation subtracts large means
    from rounded mel products.

    Args:
        model: Has ``frontend``, ``normalize``, ``autocast_frontend`` and
            ``_extract_feats`` of ESPnet.
        speech: Waveforms [B, samples]; features if the model has no frontend.
        speech_lengths: [B].

    Raises:
        AudioError: All utterances are too short for one frame.
    """
    mixed = model.autocast_frontend and torch.is_autocast_enabled(speech.device.type)
    with torch.autocast(speech.device.type, enabled=mixed):
        return _features(model, speech, speech_lengths)


def _features(model, speech: torch.Tensor, speech_lengths: torch.Tensor) -> Features:
    if is_covered(model.frontend, speech):
        speech = speech[:, : int(speech_lengths.max())]
        features, lengths = log_mel(model.frontend, speech, speech_lengths)
    else:
        features, lengths = model._extract_feats(speech, speech_lengths)
    if features.size(1) == 0:
        raise AudioError(
            f"{int(speech_lengths.max())} samples are too short for one frame"
        )
    if model.normalize is None:
        return features, lengths
    owned = model.frontend is not None  # otherwise they are the caller's
    if owned and is_utterance_mvn(model.normalize, features):
        return utterance_mvn_(model.normalize, features, lengths), lengths
    return model.normalize(features, lengths)
