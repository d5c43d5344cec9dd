"""Reading segments of telephone calls, whatever container the site has them in.

SPHERE files are read in place: header by ``sphere.py``, samples by libsndfile. Only
shorten-compressed SPHERE (Fisher and CallHome audio) needs the program ``sph2pipe``,
because no Python package decodes shortened mu-law. WAV, FLAC and the rest go straight
to libsndfile.
"""

import functools
import io
import shutil
import subprocess
from pathlib import Path
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import soundfile

from espnet_ext.corpus import sphere
from espnet_ext.corpus.shards import Cluster, map_shards
from espnet_ext.errors import AudioError, MissingInputError, ToolMissingError, UserError

PathLike = Union[str, Path]

# a transcript may end a little after the audio; more than this is a wrong file
MAX_OVERSHOOT_S = 0.5
# times rounded to hundredths may lie half of one past the audio: that is no fault
ROUNDING_S = 0.01
SHOWN_FILES = 20
INSTALL_SPH2PIPE = (
    "build sph2pipe (github.com/burrmill/sph2pipe, one C file set) and put it on PATH, "
    "or convert the files to WAV"
)
SUBTYPES = {"ULAW": "ULAW", "ALAW": "ALAW"}
PCM_SUBTYPES = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}


class AudioInfo(NamedTuple):
    """Shape of an audio file: samples are counted per channel."""

    rate: int
    channels: int
    samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.rate


def audio_info(path: PathLike) -> AudioInfo:
    """Rate, channels and length, from the header and the file size alone.

    Raises:
        MissingInputError: No such file.
        AudioError: Empty, truncated, a web page, or a format nobody here can read.
    """
    if _is_sphere(path):
        header = sphere.read_header(path)
        return AudioInfo(header.rate, header.channels, header.samples)
    with _open_with_libsndfile(path) as file:
        info = AudioInfo(file.samplerate, file.channels, file.frames)
    if info.samples == 0:
        raise AudioError(
            "holds no samples", where=path, next_step="remove it or fetch it again"
        )
    return info


def read_segment(
    path: PathLike, channel: int, start_s: float = 0.0, end_s: Optional[float] = None
) -> Tuple[np.ndarray, int]:
    """Samples of one side of a call between two times.

    Args:
        path: SPHERE, WAV, FLAC or anything libsndfile reads.
        channel: 0 for side A, 1 for side B.
        start_s: Start in seconds, rounded to the nearest sample.
        end_s: End in seconds, or None for the end of the file. An end less than
            half a second after the end of the file is taken as the end of the file.

    Returns:
        float32 samples [N] in [-1, 1], and the rate in Hz.

    Raises:
        MissingInputError, AudioError, ToolMissingError: named with the file.
    """
    if not _is_sphere(path):
        return _read_with_libsndfile(path, channel, start_s, end_s)
    header = sphere.read_header(path)
    info = AudioInfo(header.rate, header.channels, header.samples)
    start, stop = _sample_range(info, channel, start_s, end_s, path)
    if header.compression is not None:
        samples = _decode_shorten(str(path), Path(path).stat().st_mtime_ns)
        if len(samples) < stop:
            raise AudioError(
                f"sph2pipe gave {len(samples)} samples",
                where=path,
                expected=f"{info.samples}",
                next_step=sphere.FETCH_AGAIN,
            )
        return np.ascontiguousarray(samples[start:stop, channel]), info.rate
    frame_bytes = header.channels * header.sample_bytes
    with open(path, "rb") as file:
        file.seek(header.header_bytes + start * frame_bytes)
        raw = file.read((stop - start) * frame_bytes)
    samples, _ = soundfile.read(
        io.BytesIO(raw),
        format="RAW",
        subtype=SUBTYPES.get(header.coding) or PCM_SUBTYPES[header.sample_bytes],
        endian="BIG" if header.big_endian else "LITTLE",
        channels=header.channels,
        samplerate=header.rate,
        dtype="float32",
        always_2d=True,
    )
    return np.ascontiguousarray(samples[:, channel]), info.rate


def holds_only_numbers(path: PathLike) -> bool:
    """Whether no sample is NaN or infinite; only float files can hold such."""
    if _is_sphere(path):
        return True
    with _open_with_libsndfile(path) as file:
        if file.subtype not in ("FLOAT", "DOUBLE"):
            return True
        return all(np.isfinite(block).all() for block in file.blocks(65536))


def sides_are_equal(path: PathLike, info: AudioInfo) -> bool:
    """Whether both channels of a call hold the same sound, as after a bad conversion.

    One second in the middle is compared; sides that are both silent do not count.
    """
    if info.channels != 2:
        return False
    start_s = info.duration_s / 2
    end_s = min(start_s + 1, info.duration_s)
    first, second = (read_segment(path, side, start_s, end_s)[0] for side in (0, 1))
    return bool(np.ptp(first) > 0 and np.array_equal(first, second))


class Inspection(NamedTuple):
    """What the header of one file says: its shape, or why it has none."""

    path: str
    info: Optional[AudioInfo]
    is_compressed: bool = False
    problem: str = ""


def inspect_audio(paths: Iterable[PathLike]) -> List[Inspection]:
    """Look at the headers of some files; one result a file, nothing is raised."""
    found = []
    for path in paths:
        compressed = False
        try:
            compressed = _is_sphere(path) and bool(sphere.read_header(path).compression)
            found.append(Inspection(str(path), audio_info(path), compressed))
        except UserError as error:
            problem = error.message().splitlines()[0]
            found.append(Inspection(str(path), None, compressed, problem))
    return found


def check_audio_files(
    paths: Sequence[PathLike], cluster: Cluster = Cluster()
) -> List[AudioInfo]:
    """Look at every header before any work is done.

    Returns:
        One AudioInfo a path, in order.

    Raises:
        ToolMissingError: Some files are shorten-compressed and sph2pipe is absent.
        AudioError: Some files cannot be read; the message lists them with reasons.
    """
    parts = map_shards(inspect_audio, paths, cluster, "audio headers")
    found = [inspection for part in parts for inspection in part]
    compressed = [seen.path for seen in found if seen.is_compressed]
    broken = [seen.problem for seen in found if seen.problem]
    if compressed and shutil.which("sph2pipe") is None:
        raise _sph2pipe_missing(compressed)
    if broken:
        raise AudioError(
            f"{len(broken)} audio file(s) cannot be used:\n{_listing(broken)}",
            next_step=sphere.FETCH_AGAIN,
        )
    return [seen.info for seen in found if seen.info is not None]


def _listing(items: List[str]) -> str:
    shown = [f"    {item}" for item in items[:SHOWN_FILES]]
    if len(items) > SHOWN_FILES:
        shown.append(f"    ... and {len(items) - SHOWN_FILES} more")
    return "\n".join(shown)


def _sph2pipe_missing(paths: List[str]) -> ToolMissingError:
    return ToolMissingError(
        f"{len(paths)} file(s) are shorten-compressed and sph2pipe is not on PATH:\n"
        + _listing(paths),
        expected="uncompressed SPHERE, WAV or FLAC",
        next_step=INSTALL_SPH2PIPE,
    )


def _is_sphere(path: PathLike) -> bool:
    """Whether the file is SPHERE; a named error if it is no audio file at all."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise MissingInputError(
            "audio file not found",
            where=path,
            next_step="check wav.scp and the corpus folder",
        ) from None
    except OSError as error:
        raise AudioError(
            f"cannot be read: {error.strerror}",
            where=path,
            next_step="check the permissions and the disk",
        ) from None
    if not head:
        raise AudioError("is empty (0 bytes)", where=path, next_step=sphere.FETCH_AGAIN)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise AudioError(
            "is a web page, not audio",
            where=path,
            expected="SPHERE, WAV or FLAC",
            next_step="the download was refused: log in and fetch the file again",
        )
    return head.startswith(sphere.MAGIC)


def _sample_range(
    info: AudioInfo,
    channel: int,
    start_s: float,
    end_s: Optional[float],
    path: PathLike,
) -> Tuple[int, int]:
    """First sample and one past the last, checked against the file."""
    if not 0 <= channel < info.channels:
        raise AudioError(
            f"channel {channel} asked for",
            where=path,
            expected=f"0 to {info.channels - 1}, as the file has {info.channels}",
            next_step="check reco2file_and_channel",
        )
    end_s = info.duration_s if end_s is None else end_s
    if not 0 <= start_s < end_s <= info.duration_s + MAX_OVERSHOOT_S:
        raise AudioError(
            f"segment {start_s} to {end_s} s asked for",
            where=path,
            expected=f"a segment inside 0 to {info.duration_s:.2f} s",
            next_step="check the segments file: espnet-ext data validate",
        )
    start = int(start_s * info.rate + 0.5)
    stop = min(int(end_s * info.rate + 0.5), info.samples)
    if start >= stop:
        raise AudioError(
            f"segment {start_s} to {end_s} s holds no samples",
            where=path,
            expected=f"a segment inside 0 to {info.duration_s:.2f} s",
            next_step="check the segments file: espnet-ext data validate",
        )
    return start, stop


def _open_with_libsndfile(path: PathLike) -> soundfile.SoundFile:
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(
            f"libsndfile cannot read it: {error}",
            where=path,
            expected="SPHERE, WAV, FLAC or another format of libsndfile",
            next_step=sphere.FETCH_AGAIN,
        ) from None
    if file.format == "WAV" and _wav_is_cut(path):
        file.close()
        raise AudioError(
            "truncated: the file is shorter than its header says",
            where=path,
            next_step=sphere.FETCH_AGAIN,
        )
    return file


def _wav_is_cut(path: PathLike) -> bool:
    """libsndfile takes a cut WAV without a word, so compare the declared size."""
    with open(path, "rb") as file:
        declared = int.from_bytes(file.read(8)[4:], "little") + 8
    streamed = declared >= 0xFFFFFFFF  # written to a pipe: the size was not known
    return not streamed and Path(path).stat().st_size < declared


def _read_with_libsndfile(
    path: PathLike, channel: int, start_s: float, end_s: Optional[float]
) -> Tuple[np.ndarray, int]:
    with _open_with_libsndfile(path) as file:
        info = AudioInfo(file.samplerate, file.channels, file.frames)
        start, stop = _sample_range(info, channel, start_s, end_s, path)
        try:
            file.seek(start)
            samples = file.read(stop - start, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"decoding failed: {error}", where=path, next_step=sphere.FETCH_AGAIN
            ) from None
    if len(samples) < stop - start:
        raise AudioError(
            f"truncated: {start + len(samples)} samples could be read",
            where=path,
            expected=f"{info.samples}",
            next_step=sphere.FETCH_AGAIN,
        )
    return np.ascontiguousarray(samples[:, channel]), info.rate


@functools.lru_cache(maxsize=2)
def _decode_shorten(path: str, mtime_ns: int) -> np.ndarray:
    """The whole file as float32 [N, channels]; shorten cannot be entered midway."""
    program = shutil.which("sph2pipe")
    if program is None:
        raise _sph2pipe_missing([path])
    done = subprocess.run([program, "-p", "-f", "wav", path], capture_output=True)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip() or "no output"
        raise AudioError(
            f"sph2pipe failed: {reason}", where=path, next_step=sphere.FETCH_AGAIN
        )
    samples, _ = soundfile.read(
        io.BytesIO(done.stdout), dtype="float32", always_2d=True
    )
    return samples
