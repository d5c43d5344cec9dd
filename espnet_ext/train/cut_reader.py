"""ESPnet's data type ``segment``: utterances read from the files of the release.

Lines are ``UTTERANCE CHANNEL RATE SPEED START:END[,START:END...] FILE`` (see
``corpus/cuts.py``); a SPHERE file stays where it is and no sample is stored twice.
"""

import collections.abc
from typing import Iterator

import numpy as np

from espnet_ext.corpus.cuts import cuts_of, from_pcm, pcm_samples
from espnet_ext.files import PathLike, read_lines

DATA_TYPE = "segment"


class CutReader(collections.abc.Mapping):
    """Samples by utterance id, float32 [N] in [-1, 1); read when asked for."""

    def __init__(self, path: PathLike):
        self.cuts = cuts_of(read_lines(path), path)

    def __getitem__(self, key: str) -> np.ndarray:
        return from_pcm(pcm_samples(self.cuts[key]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.cuts)

    def __len__(self) -> int:
        return len(self.cuts)


def add_data_type() -> None:
    """Make the type known to ESPnet's dataset; may be called twice."""
    from espnet2.train import dataset

    dataset.DATA_TYPES.setdefault(
        DATA_TYPE,
        {
            "func": CutReader,
            "kwargs": [],
            "help": "Parts of audio files, cut and resampled while reading.\n\n"
            "   utterance_id_a 0 8000 1.0 0.98:11.56 sw02001.sph\n   ...",
        },
    )
