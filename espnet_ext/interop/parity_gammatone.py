"""Compares the Gammatone frontend with the original's features.

Source: reference/parity/README.md "gammatone".
"""

import re
from typing import Iterator

import numpy as np
import torch

from espnet_ext.asr.frontend.gammatone import GammatoneFrontend
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile

VARIANCE_EPS = 1e-6


def compare_gammatone(file: ParityFile) -> Iterator[Comparison]:
    """Filters, features before and after the cosine transform, and numbers of frames.

    Features are also compared after normalisation over the time of a recording.
    """
    arrays = file.arrays
    rate = int(arrays["sample_rate"])
    waves = [name for name in arrays if name.startswith("wave_")]
    for name in sorted(arrays):
        found = re.fullmatch(
            r"(feat_v\d|predct|filterbank|batch_len)_(timenorm_)?c(\d+)_?(.*)", name
        )
        if not found:
            continue
        kind, normalised, channels, recording = found.groups()
        frontend = GammatoneFrontend(rate, int(channels), dct=kind != "predct")
        if kind == "filterbank":
            ours = frontend.filters[:, 0].T.numpy()
        elif kind == "batch_len":
            lengths = torch.tensor([len(arrays[wave]) for wave in waves])
            ours = frontend.frames(lengths).numpy()
        else:
            wave_1N = torch.from_numpy(arrays[f"wave_{recording}"]).float()[None]
            ours = frontend(wave_1N, torch.tensor([wave_1N.size(1)]))[0][0].numpy()
            if normalised:
                ours = (ours - ours.mean(0)) / np.sqrt(ours.var(0) + VARIANCE_EPS)
        limit = 0.0 if kind == "batch_len" else VALUE_LIMIT
        yield Comparison(name, relative_error(ours, arrays[name]), limit)
