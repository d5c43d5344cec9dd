"""Lengths of all utterances in the units that batches are counted in.

ESPnet's ``speech_shape`` holds samples, ``text_shape`` labels. Batches are counted in
frames of 10 ms: as many as the frontend makes of the samples, times its shift over
10 ms. With the Gammatone frontend that is the number of frames the network sees.
Without a frontend the files hold features, whose frames are taken to be 10 ms apart.
"""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import PathLike, read_lines

FRAMES_PER_SECOND = 100
Counter = Callable[[numpy.ndarray], numpy.ndarray]


@dataclass(frozen=True)
class CorpusLengths:
    """Lengths of utterances; all arrays in the order of ``ids``.

    Attributes:
        ids: Utterance ids.
        duration: As in the shape file, which is what utterances are sorted by.
        frames: Frames of 10 ms.
        labels: Labels of the text; None where there is no file of them.
    """

    ids: Tuple[str, ...]
    duration: numpy.ndarray
    frames: numpy.ndarray
    labels: Optional[numpy.ndarray] = None

    def __len__(self) -> int:
        return len(self.ids)


def _first_numbers(path: PathLike) -> Tuple[List[str], numpy.ndarray]:
    """Ids and the first number of each line ``ID N[,M...]``."""
    ids, lengths = [], []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            name, shape = line.split()
            lengths.append(int(shape.split(",")[0]))
        except ValueError:
            raise FormatError(
                f"found {line!r}",
                where=f"{path} line {number}",
                expected="UTTERANCE LENGTH or UTTERANCE LENGTH,SIZE",
            ) from None
        ids.append(name)
    return ids, numpy.array(lengths, dtype=numpy.int64)


def read_lengths(shape_files: Sequence[PathLike], counter: Counter) -> CorpusLengths:
    """Lengths out of ESPnet's shape files: of the speech, then of the text if any.

    Raises:
        FormatError: A line is malformed, a file is empty, or the files do not hold the
            same utterances.
        MissingInputError: A file does not exist.
    """
    speech = shape_files[0]
    ids, duration = _first_numbers(speech)
    if not ids:
        raise FormatError(
            "no utterance", where=speech, next_step="run stage 10 again: --stage 10"
        )
    labels = None
    if len(shape_files) > 1:
        names, counts = _first_numbers(shape_files[1])
        by_name = dict(zip(names, counts.tolist()))
        missing = [name for name in ids if name not in by_name]
        if missing or len(by_name) != len(ids):
            extra = missing or sorted(set(by_name) - set(ids))
            raise FormatError(
                f"{len(extra)} utterance(s) are not in both files, such as {extra[0]}",
                where=f"{speech} and {shape_files[1]}",
                next_step="run stage 10 again: --stage 10",
            )
        labels = numpy.array([by_name[name] for name in ids], dtype=numpy.int64)
    return CorpusLengths(tuple(ids), duration, counter(duration), labels)


class FrameCounter:
    """Frames of 10 ms that a frontend makes of a number of samples.

    Args:
        frontend: The frontend, or None where features are read.
        sample_rate: Of the audio in Hz; ignored without a frontend.

    Raises:
        OptionError: The frontend does not say how many frames it makes.
    """

    def __init__(self, frontend: Any, sample_rate: int):
        self.frontend = frontend
        self.samples_per_frame = 1.0
        if frontend is None:
            return
        self.samples_per_frame = sample_rate / FRAMES_PER_SECOND
        self.shift = getattr(frontend, "shift", getattr(frontend, "hop_length", None))
        if self.shift is None:
            raise OptionError(
                f"how many frames frontend {type(frontend).__name__} makes is unknown",
                where="regime_conf",
                expected="a frontend with a frame shift: gammatone, default",
                next_step="take batch_type and batch_bins instead of regime_conf",
            )

    def __call__(self, samples: numpy.ndarray) -> numpy.ndarray:
        """Frames of 10 ms of so many samples each."""
        if self.frontend is None:
            return samples
        if hasattr(self.frontend, "frames"):
            import torch

            own = self.frontend.frames(torch.from_numpy(samples)).numpy()
        else:
            own = 1 + samples // self.shift  # centred windows of a Fourier transform
        scaled = own * (self.shift / self.samples_per_frame)
        return numpy.ceil(scaled - 1e-9).astype(numpy.int64)
