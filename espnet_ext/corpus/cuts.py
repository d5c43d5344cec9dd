"""What the samples of an utterance are made of: a file, a side, times, a speed.

One function makes the samples, whether they are written to a file of their own or read
from the release each time they are needed, so that both give the same.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from espnet_ext.corpus.audio import audio_info, read_segment
from espnet_ext.corpus.kaldi_dir import format_time
from espnet_ext.errors import AudioError, FormatError

PCM_MAX = 32767
TO_THE_END = "end"


class Cut(NamedTuple):
    """Where an utterance lies.

    Attributes:
        audio: File that libsndfile or ``sph2pipe`` can read.
        channel: 0 for side A, 1 for side B.
        parts: Start and end in seconds of each stretch, joined without a gap; times of
            the perturbed speech where there is a speed. None is the end of the file.
        speed: Played so much faster.
        rate: Sampling rate of the result, Hz.
    """

    audio: str
    channel: int
    parts: Tuple[Tuple[float, Optional[float]], ...]
    speed: float
    rate: int

    def to_line(self) -> str:
        """The fields with blanks between them; the path last, as it may hold blanks."""
        times = ",".join(
            f"{format_time(start)}:{TO_THE_END if end is None else format_time(end)}"
            for start, end in self.parts
        )
        return f"{self.channel} {self.rate} {self.speed!r} {times} {self.audio}"

    def to_item(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        return self._asdict()


def cut_from_line(line: str, where: object) -> Cut:
    """The reverse of ``to_line``.

    Raises:
        FormatError: Named with ``where``.
    """
    try:
        channel, rate, speed, times, audio = line.split(None, 4)
        parts = []
        for part in times.split(","):
            start, end = part.split(":")
            parts.append((float(start), None if end == TO_THE_END else float(end)))
        return Cut(audio, int(channel), tuple(parts), float(speed), int(rate))
    except ValueError:
        raise FormatError(
            f"found {line!r}",
            where=where,
            expected="CHANNEL RATE SPEED START:END[,START:END...] FILE",
            next_step="run stage 3 again",
        ) from None


def pcm_samples(cut: Cut) -> np.ndarray:
    """The samples of an utterance, int16 [N].

    Raises:
        AudioError: The file cannot be read there, or the result is empty.
    """
    pieces, source_hz = [], 0
    for start_s, end_s in cut.parts:
        end_s = None if end_s is None else end_s * cut.speed
        samples, source_hz = read_segment(
            cut.audio, cut.channel, start_s * cut.speed, end_s
        )
        pieces.append(samples)
    samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    pcm = to_pcm(resample(samples, source_hz * cut.speed, cut.rate))
    if len(pcm) == 0:
        raise AudioError("the utterance has no samples", where=cut.audio)
    return pcm


def number_of_samples(cut: Cut) -> int:
    """How many samples ``pcm_samples`` gives, from the header of the file alone.

    Where the rate changes, the resampler may give one more or one less.
    """
    info = audio_info(cut.audio)
    count = 0
    for start_s, end_s in cut.parts:
        start = int(start_s * cut.speed * info.rate + 0.5)
        stop = info.samples
        if end_s is not None:
            stop = min(int(end_s * cut.speed * info.rate + 0.5), stop)
        if not 0 <= start < stop or cut.channel >= info.channels:
            raise AudioError(
                f"{start_s} to {end_s} s of channel {cut.channel} asked for",
                where=cut.audio,
                expected=f"0 to {info.duration_s:.2f} s of {info.channels} channel(s)",
                next_step="espnet-ext data validate",
            )
        count += stop - start
    return round(count * cut.rate / (info.rate * cut.speed))


def resample(samples: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Change the sampling rate; ``from_hz`` may be the true rate times a speed."""
    if from_hz == to_hz:
        return samples
    import soxr

    return soxr.resample(samples, from_hz, to_hz)


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """float in [-1, 1] as int16; what resampling lifts beyond that is clipped."""
    scaled = np.rint(samples * (PCM_MAX + 1))
    return np.clip(scaled, -PCM_MAX - 1, PCM_MAX).astype(np.int16)


def from_pcm(pcm: np.ndarray) -> np.ndarray:
    """int16 as float32 in [-1, 1), as libsndfile reads it from a file."""
    return pcm.astype(np.float32) / (PCM_MAX + 1)


def cuts_of(lines: List[str], where: object) -> Dict[str, Cut]:
    """Cut by utterance from lines ``UTTERANCE CUT``."""
    cuts = {}
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition(" ")
        cuts[name] = cut_from_line(rest, f"{where} line {number}")
    return cuts
