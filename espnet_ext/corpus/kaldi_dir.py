"""Kaldi-style data directories: one Utterance a segment, read and written whole.

Files: ``wav.scp`` (recording, audio path), ``segments`` (utterance, recording, start,
end; absent when each utterance is a whole file), ``text``, ``utt2spk``, ``spk2utt``
and ``reco2file_and_channel`` (recording, call, side A or B; absent means side A).
All are sorted by id in byte order, as ``LC_ALL=C sort`` does.
"""

import contextlib
import filecmp
import os
import secrets
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Union,
)

from espnet_ext.corpus.tables import no_garbage_collection
from espnet_ext.corpus.validation import validate_data_dir  # noqa: F401
from espnet_ext.errors import FormatError, MissingInputError, OutputError
from espnet_ext.files import disk_full_is_a_user_error, read_lines

PathLike = Union[str, Path]
TO_THE_END = "-1"  # Kaldi's end time of a segment that runs to the end of its file


@dataclass(frozen=True)
class Utterance:
    """One line of a data directory.

    Attributes:
        utterance_id: For example ``sw02001-A_000098-001156``.
        recording_id: One side of a call, ``sw02001-A``.
        speaker_id: The side, or the caller where a table names him.
        text: Words separated by blanks; may be empty in evaluation sets.
        audio_path: The file that holds the recording.
        channel: 0 for side A, 1 for side B.
        start_s: Start in the recording, seconds.
        end_s: End in seconds; None for the end of the file.
    """

    utterance_id: str
    recording_id: str
    speaker_id: str
    text: str
    audio_path: str
    channel: int = 0
    start_s: float = 0.0
    end_s: Optional[float] = None


def utterance_id(recording_id: str, start_s: float, end_s: float) -> str:
    """``recording_SSSSSS-EEEEEE`` in hundredths of a second, rounded half up.

    Kaldi's evaluation scripts truncate instead, so that 1.15 s may become 000114.
    """
    return f"{recording_id}_{hundredths(start_s):06d}-{hundredths(end_s):06d}"


def hundredths(time_s: float) -> int:
    """A time in hundredths of a second, rounded half up."""
    return int(100 * time_s + 0.5)


def call_of(recording_id: str) -> str:
    """The call a recording is a side of: ``sw02001-A`` -> ``sw02001``."""
    call, _, side = recording_id.rpartition("-")
    return call if call and side in ("A", "B") else recording_id


def write_data_dir(
    path: PathLike,
    utterances: Iterable[Utterance],
    extra_files: Mapping[str, Union[Path, str]] = {},
) -> Path:
    """Write a whole data directory, or leave what was there.

    Args:
        path: The directory. It is replaced only once everything is written; when
            nothing would change it is not touched, so that times stay the same.
        utterances: Any order; written sorted.
        extra_files: More files of the directory: a Path is copied, a str is the
            content (``{"stm": Path(...), "dropped.tsv": "..."}``).

    Raises:
        FormatError: An id occurs twice, a field holds a blank, or one recording has
            two audio files.
    """
    tables = _tables(path, utterances)
    with _replaced_directory(Path(path)) as temporary:
        for name, lines in tables.items():
            with open(temporary / name, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(line + "\n" for line in lines)
        for name, content in extra_files.items():
            if isinstance(content, Path):
                shutil.copyfile(content, temporary / name)
            else:
                # files of old releases may hold single bytes that are not UTF-8
                data = content.encode("utf-8", errors="surrogateescape")
                (temporary / name).write_bytes(data)
    return Path(path)


def read_data_dir(path: PathLike) -> List[Utterance]:
    """Read a data directory with or without ``segments``, sorted by utterance id.

    ``text`` and ``utt2spk`` may be absent (as in a set to be recognised): the text is
    then empty and the speaker is the recording. Recordings given as a plain
    ``sph2pipe ... FILE |`` are read as the file and its channel, ``flac ... FILE |``
    and ``cat FILE |`` as the file.

    Raises:
        MissingInputError: No such directory or no ``wav.scp``.
        FormatError: A line cannot be understood; it is named with file and line.
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingInputError(
            "data directory not found", where=path, next_step="run stage 1 first"
        )
    with no_garbage_collection():
        return _read_data_dir(path)


def _read_data_dir(path: Path) -> List[Utterance]:
    recordings = {
        recording: audio_of_entry(entry, path / "wav.scp", number)
        for number, recording, entry in _rows(path / "wav.scp")
    }
    sides_file = path / "reco2file_and_channel"
    if sides_file.exists():
        for number, recording, entry in _rows(sides_file):
            side = entry.rpartition(" ")[2]
            if recording in recordings:
                channel = _channel_of(side, sides_file, number)
                recordings[recording] = (recordings[recording][0], channel)
    texts = {utt: entry for _, utt, entry in _rows(path / "text", optional=True)}
    speakers = {utt: entry for _, utt, entry in _rows(path / "utt2spk", optional=True)}
    utterances = [
        Utterance(
            utt,
            recording,
            speakers.get(utt, recording),
            texts.get(utt, ""),
            *recordings[recording],
            start_s,
            end_s,
        )
        for utt, recording, start_s, end_s in _segments(path, recordings)
    ]
    return sorted(utterances, key=lambda utterance: utterance.utterance_id)


def combine_data_dirs(path: PathLike, sources: Iterable[PathLike]) -> Path:
    """Write the utterances of several directories into one.

    Raises:
        FormatError: An utterance id, or a recording id with another audio file,
            occurs in two of them.
    """
    return write_data_dir(
        path, (u for source in sources for u in read_data_dir(source))
    )


def copy_data_dir(
    path: PathLike,
    source: PathLike,
    *,
    prefix: str = "",
    keep: Optional[Collection[str]] = None,
    extra_files: Mapping[str, Union[Path, str]] = {},
) -> Path:
    """Copy a directory, all of it or some utterances, under new ids.

    Args:
        prefix: Put before utterance, recording and speaker ids, as speed perturbation
            wants it (``sp0.9-``).
        keep: Ids (without prefix) of the utterances to copy; None for all.

    Raises:
        FormatError: ``keep`` names utterances that are not there.
    """
    utterances = read_data_dir(source)
    if keep is not None:
        utterances = keep_utterances(utterances, keep, where=source)
    return write_data_dir(
        path, (with_prefix(u, prefix) for u in utterances), extra_files
    )


def with_prefix(utterance: Utterance, prefix: str) -> Utterance:
    """The same audio and text under ids that begin with ``prefix``."""
    return replace(
        utterance,
        utterance_id=prefix + utterance.utterance_id,
        recording_id=prefix + utterance.recording_id,
        speaker_id=prefix + utterance.speaker_id,
    )


def keep_utterances(
    utterances: Iterable[Utterance], ids: Collection[str], where: object = None
) -> List[Utterance]:
    """The utterances whose id is in ``ids``; every id must be found."""
    wanted = set(ids)
    kept = [u for u in utterances if u.utterance_id in wanted]
    missing = sorted(wanted.difference(u.utterance_id for u in kept))
    if missing:
        raise FormatError(
            f"{len(missing)} utterance(s) asked for are absent, first {missing[0]}",
            where=where,
        )
    return kept


def format_time(time_s: float) -> str:
    """Seconds with two to six decimals: 5.52, 1.234567."""
    whole, _, decimals = f"{time_s:.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def _tables(path: PathLike, utterances: Iterable[Utterance]) -> Dict[str, List[str]]:
    ordered = sorted(utterances, key=lambda u: u.utterance_id)
    for before, after in zip(ordered, ordered[1:]):
        if before.utterance_id == after.utterance_id:
            raise FormatError(
                f"utterance {after.utterance_id} occurs twice",
                where=path,
                expected="unique ids",
                next_step="give the second source a prefix or remove it",
            )
    audio: Dict[str, Tuple[str, int]] = {}
    speakers: Dict[str, List[str]] = {}
    for u in ordered:
        for field in (u.utterance_id, u.recording_id, u.speaker_id):
            if not field or len(field.split()) != 1:
                raise FormatError(f"id {field!r} is empty or has a blank", where=path)
        if "\n" in u.audio_path or "\n" in u.text or "\r" in u.text:
            raise FormatError(f"{u.utterance_id}: a field has a line end", where=path)
        source = audio.setdefault(u.recording_id, (u.audio_path, u.channel))
        if source != (u.audio_path, u.channel):
            raise FormatError(
                f"recording {u.recording_id} has two sources: {source[0]} and "
                f"{u.audio_path}",
                where=path,
                expected="one file and side a recording",
            )
        speakers.setdefault(u.speaker_id, []).append(u.utterance_id)
    tables = {
        "wav.scp": [f"{reco} {file}" for reco, (file, _) in sorted(audio.items())],
        "reco2file_and_channel": [
            f"{reco} {call_of(reco)} {chr(ord('A') + channel)}"
            for reco, (_, channel) in sorted(audio.items())
        ],
        "text": [f"{u.utterance_id} {u.text}".rstrip() for u in ordered],
        "utt2spk": [f"{u.utterance_id} {u.speaker_id}" for u in ordered],
        "spk2utt": [f"{s} {' '.join(utts)}" for s, utts in sorted(speakers.items())],
    }
    whole_files = all(
        u.utterance_id == u.recording_id and u.start_s == 0 and u.end_s is None
        for u in ordered
    )
    if not whole_files:
        tables["segments"] = [
            f"{u.utterance_id} {u.recording_id} {format_time(u.start_s)} "
            f"{TO_THE_END if u.end_s is None else format_time(u.end_s)}"
            for u in ordered
        ]
    return tables


@contextlib.contextmanager
def _replaced_directory(target: Path) -> Iterator[Path]:
    """Yield a new directory that takes the place of ``target`` when complete."""
    # not mkdtemp: its folders are private
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise OutputError(
            f"cannot be written: {error.strerror}",
            where=target,
            next_step="choose another folder, or change what stands in the way",
        ) from None
    try:
        with disk_full_is_a_user_error(target):
            yield temporary
        if not target.exists():
            temporary.rename(target)
        elif not _same_content(temporary, target):
            old = temporary.with_name(temporary.name + ".old")
            target.rename(old)
            temporary.rename(target)
            shutil.rmtree(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _same_content(left: Path, right: Path) -> bool:
    names = sorted(os.listdir(left))
    if names != sorted(os.listdir(right)):
        return False
    return all(filecmp.cmp(left / name, right / name, shallow=False) for name in names)


def _rows(path: Path, optional: bool = False) -> Iterator[Tuple[int, str, str]]:
    """Line number, first field and the rest of each line."""
    if optional and not path.exists():
        return
    for number, line in enumerate(read_lines(path), start=1):
        key, _, rest = line.strip().partition(" ")
        if not key:
            raise FormatError("empty line", where=f"{path} line {number}")
        yield number, key, rest.strip()


def _segments(
    path: Path, recordings: Collection[str]
) -> Iterator[Tuple[str, str, float, Optional[float]]]:
    if not (path / "segments").exists():
        yield from ((recording, recording, 0.0, None) for recording in recordings)
        return
    for number, utt, entry in _rows(path / "segments"):
        where = f"{path / 'segments'} line {number}"
        try:
            recording, start, end = entry.split()
            start_s, end_s = float(start), float(end)
        except ValueError:
            raise FormatError(
                f"found {entry!r}", where=where, expected="RECORDING START END"
            ) from None
        if recording not in recordings:
            raise FormatError(
                f"recording {recording} is not in wav.scp",
                where=where,
                next_step=f"espnet-ext data validate {path}",
            )
        yield utt, recording, start_s, None if end_s < 0 else end_s


def _channel_of(side: str, path: Path, number: int) -> int:
    channel = ord(side) - ord("A") if len(side) == 1 else -1
    if not 0 <= channel < 8:
        raise FormatError(
            f"side {side!r}", where=f"{path} line {number}", expected="A or B"
        )
    return channel


def audio_of_entry(entry: str, path: Path, number: int) -> Tuple[str, int]:
    """Audio file and channel of a wav.scp entry; commands are never run."""
    if not entry.endswith("|"):
        return entry, 0
    try:
        words = shlex.split(entry[:-1])
    except ValueError:
        words = []
    if len(words) > 1 and words[-1][0] != "-" and "|" not in words:
        program, file = Path(words[0]).name, words[-1]
        if program == "sph2pipe":
            channel = int(words[words.index("-c") + 1]) - 1 if "-c" in words else 0
            return file, channel
        if program in ("flac", "cat"):  # they only decode: libsndfile does the same
            return file, 0
    raise FormatError(
        f"wav.scp holds a command: {entry}",
        where=f"{path} line {number}",
        expected="the path of an audio file (or of sph2pipe, flac or cat: ... FILE |)",
        next_step="run the command once and list the file that it writes",
    )
