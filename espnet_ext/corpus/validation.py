"""Checks of a data directory: every fault is named with file and line."""

# Text is checked with whole-file operations (sorted lists, sets, one pattern over all
# bytes) and only searched line by line where one of them fails: a million lines take
# seconds.

import math
import re
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, Union

from espnet_ext.errors import FormatError, MissingInputError, UserError
from espnet_ext.files import atomic_write

PathLike = Union[str, Path]

SHOWN_PROBLEMS = 20
REQUIRED = ("wav.scp", "text", "utt2spk", "spk2utt")
TABLES = REQUIRED + ("segments", "reco2file_and_channel")
# segments are rounded to hundredths, so an end may be half of one past the audio
ROUNDING_S = 0.01
CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
BOM = b"\xef\xbb\xbf"


class Problem(NamedTuple):
    """One fault: file, line (0 for the file as a whole), and what is wrong.

    ``utterance`` names the bad utterance when the rest of the set is still usable.
    """

    file: str
    line: int
    what: str
    utterance: Optional[str] = None

    def __str__(self) -> str:
        where = f"{self.file} line {self.line}" if self.line else self.file
        return f"{where}: {self.what}"


class ValidSet(NamedTuple):
    """Size of a directory that passed: utterances, recordings, hours, speakers."""

    path: Path
    utterances: int
    recordings: int
    speakers: int
    hours: float
    problems: List[Problem]


class _Table(NamedTuple):
    path: Path
    keys: List[str]
    values: List[str]


def validate_data_dir(
    path: PathLike,
    *,
    check_audio: bool = True,
    rate: Optional[int] = None,
    max_bad_percent: float = 0.0,
    list_file: Optional[PathLike] = None,
) -> ValidSet:
    """Check a directory and stop if it is not fit for use.

    Args:
        check_audio: Also open each audio file (headers and lengths).
        rate: Expected sampling rate in Hz; None takes the one of the first file.
        max_bad_percent: Tolerated share of utterances with a fault of their own (empty
            text, segment past the end, ...). Faults of the tables are never tolerated.
        list_file: Where to write all problems, one a line.

    Raises:
        FormatError: With the first problems and their number.
    """
    path = Path(path)
    found, facts = find_problems(path, check_audio=check_audio, rate=rate)
    if list_file is not None:
        with atomic_write(list_file) as file:
            file.writelines(f"{problem}\n" for problem in found)
    bad = {problem.utterance for problem in found if problem.utterance}
    tables_are_sound = all(problem.utterance for problem in found)
    share = 100 * len(bad) / max(facts.utterances, 1)
    if found and not (tables_are_sound and share <= max_bad_percent):
        shown = "\n".join(f"    {problem}" for problem in found[:SHOWN_PROBLEMS])
        if len(found) > SHOWN_PROBLEMS:
            shown += f"\n    ... and {len(found) - SHOWN_PROBLEMS} more"
        raise FormatError(
            f"{len(found)} problem(s), {share:.2f} % of the utterances:\n{shown}",
            where=path,
            expected=f"sound tables and at most {max_bad_percent:g} % bad utterances",
            next_step=f"espnet-ext data validate --list FILE {path} writes all of them",
        )
    return facts


def find_problems(
    path: PathLike, *, check_audio: bool = True, rate: Optional[int] = None
) -> Tuple[List[Problem], ValidSet]:
    """All faults of a directory, and its size.

    An empty text is a fault unless the directory holds an ``stm`` (evaluation sets
    have segments in which nobody speaks).
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingInputError(
            "data directory not found",
            where=path,
            next_step="check the name, or run the data preparation",
        )
    problems: List[Problem] = []
    tables: Dict[str, _Table] = {}
    for name in TABLES:
        if (path / name).is_file():
            tables[name] = _read_table(path / name, problems)
        elif name in REQUIRED:
            problems.append(Problem(str(path / name), 0, "file is missing"))
    if any(name not in tables for name in REQUIRED):
        return problems, ValidSet(path, 0, 0, 0, 0.0, problems)

    _check_texts(tables["text"], (path / "stm").exists(), problems)
    recordings = dict(zip(tables["wav.scp"].keys, tables["wav.scp"].values))
    segments = _parse_segments(tables, recordings, problems)
    utterance_ids = set(segments)
    for name in ("text", "utt2spk"):
        _check_same_ids(tables[name], utterance_ids, problems)
    _check_spk2utt(tables, problems)
    channels = _check_sides(tables.get("reco2file_and_channel"), recordings, problems)
    lengths: Dict[str, float] = {}
    if check_audio:
        lengths = _check_audio(tables["wav.scp"], channels, rate, problems)
        _check_segment_ends(tables, segments, lengths, problems)
    seconds = sum(
        (lengths.get(reco, 0.0) if end is None else end) - start
        for reco, start, end in segments.values()
    )
    return problems, ValidSet(
        path,
        len(segments),
        len(recordings),
        len(tables["spk2utt"].keys),
        seconds / 3600,
        problems,
    )


def _read_table(path: Path, problems: List[Problem]) -> _Table:
    """Split a file into ids and the rest; note faults of bytes, lines and order."""

    def note(line: int, what: str) -> None:
        problems.append(Problem(str(path), line, what))

    data = path.read_bytes()
    if not data:
        note(0, "file is empty")
        return _Table(path, [], [])
    if data.startswith(BOM):
        note(1, "begins with a byte order mark; expected plain UTF-8")
        data = data[len(BOM) :]
    if b"\r" in data:
        note(data.count(b"\n", 0, data.index(b"\r")) + 1, "Windows line end (CR)")
        data = data.replace(b"\r", b"")
    for match in CONTROL_BYTES.finditer(data):
        line = data.count(b"\n", 0, match.start()) + 1
        note(line, f"illegal control character {match.group()!r}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        note(data.count(b"\n", 0, error.start) + 1, "is not UTF-8")
        text = data.decode("utf-8", errors="replace")
    if not text.endswith("\n"):
        note(text.count("\n") + 1, "the last line has no line end: the file is cut off")
        text += "\n"
    rows = [line.split(None, 1) for line in text[:-1].split("\n")]
    if not all(rows):
        for number, row in enumerate(rows, start=1):
            if not row:
                note(number, "empty line")
    keys = [row[0] if row else "" for row in rows]
    values = [row[1].rstrip() if len(row) > 1 else "" for row in rows]
    if keys != sorted(keys):
        number = next(i for i in range(1, len(keys)) if keys[i] < keys[i - 1])
        note(number + 1, f"{keys[number]} is not sorted; run LC_ALL=C sort")
    if len(set(keys)) != len(keys):
        repeated = {key for key, count in Counter(keys).items() if count > 1}
        seen: Set[str] = set()
        for number, key in enumerate(keys, start=1):
            if key in repeated and key in seen:
                note(number, f"duplicate id {key}")
            seen.add(key)
    return _Table(path, keys, values)


def _check_texts(text: _Table, may_be_empty: bool, problems: List[Problem]) -> None:
    if may_be_empty or all(text.values):
        return
    for number, (utt, words) in enumerate(zip(text.keys, text.values), start=1):
        if not words:
            problems.append(Problem(str(text.path), number, f"{utt}: empty text", utt))


def _parse_segments(
    tables: Dict[str, _Table], recordings: Dict[str, str], problems: List[Problem]
) -> Dict[str, Tuple[str, float, Optional[float]]]:
    """Recording, start and end of each utterance; without segments, whole files."""
    if "segments" not in tables:
        return {recording: (recording, 0.0, None) for recording in recordings}
    table = tables["segments"]
    segments: Dict[str, Tuple[str, float, Optional[float]]] = {}
    for number, (utt, value) in enumerate(zip(table.keys, table.values), start=1):
        try:
            recording, start_text, end_text = value.split()
            start, end = float(start_text), float(end_text)
        except ValueError:
            what = f"{utt}: found {value!r}; expected RECORDING START END"
            problems.append(Problem(str(table.path), number, what))
            continue
        segments[utt] = (recording, start, None if end < 0 else end)
        if recording not in recordings:
            what = f"{utt}: recording {recording} is not in wav.scp"
            problems.append(Problem(str(table.path), number, what))
        elif not (0 <= start < end < math.inf) and not (end == -1 and start >= 0):
            # NaN fails every comparison, so it ends here too
            what = f"{utt}: start {start_text} and end {end_text} are no time span"
            problems.append(Problem(str(table.path), number, what, utt))
            segments[utt] = (recording, 0.0, 0.0)
    return segments


def _check_same_ids(table: _Table, expected: Set[str], problems: List[Problem]) -> None:
    found = set(table.keys)
    if found == expected:
        return
    source = table.path.with_name("segments (or wav.scp without segments)")
    for number, key in enumerate(table.keys, start=1):
        if key not in expected:
            problems.append(
                Problem(str(table.path), number, f"{key} is not in {source.name}")
            )
    for key in sorted(expected - found):
        problems.append(Problem(str(table.path), 0, f"{key} is missing"))


def _check_spk2utt(tables: Dict[str, _Table], problems: List[Problem]) -> None:
    by_speaker: Dict[str, List[str]] = {}
    for utt, speaker in zip(tables["utt2spk"].keys, tables["utt2spk"].values):
        by_speaker.setdefault(speaker, []).append(utt)
    table = tables["spk2utt"]
    for number, (speaker, utts) in enumerate(zip(table.keys, table.values), start=1):
        if by_speaker.pop(speaker, None) != utts.split():
            what = f"{speaker}: the utterances differ from utt2spk"
            problems.append(Problem(str(table.path), number, what))
    for speaker in sorted(by_speaker):
        problems.append(Problem(str(table.path), 0, f"speaker {speaker} is missing"))


def _check_sides(
    table: Optional[_Table], recordings: Iterable[str], problems: List[Problem]
) -> Dict[str, int]:
    """Channel number of each recording; A where nothing is said."""
    if table is None:
        return {}
    channels = {}
    for number, (recording, value) in enumerate(zip(table.keys, table.values), start=1):
        side = value.rpartition(" ")[2]
        if side in ("A", "B"):
            channels[recording] = ord(side) - ord("A")
        else:
            what = f"{recording}: side {side!r}; expected A or B"
            problems.append(Problem(str(table.path), number, what))
    for recording in sorted(set(recordings).difference(table.keys)):
        problems.append(Problem(str(table.path), 0, f"{recording} is missing"))
    return channels


def _check_audio(
    wav_scp: _Table,
    channels: Dict[str, int],
    rate: Optional[int],
    problems: List[Problem],
) -> Dict[str, float]:
    """Open each file once; returns the length of each recording in seconds."""
    from espnet_ext.corpus.audio import audio_info, holds_only_numbers
    from espnet_ext.corpus.kaldi_dir import audio_of_entry

    lengths: Dict[str, float] = {}
    known: Dict[str, object] = {}
    for number, (recording, entry) in enumerate(
        zip(wav_scp.keys, wav_scp.values), start=1
    ):

        def note(what: str, line: int = number) -> None:
            problems.append(Problem(str(wav_scp.path), line, what))

        try:
            file, channel = audio_of_entry(entry, wav_scp.path, number)
            if file not in known:
                known[file] = audio_info(file)
                if not holds_only_numbers(file):
                    note(f"{recording}: {file} holds samples that are not numbers")
        except UserError as error:
            note(f"{recording}: {error.message().splitlines()[0]}")
            continue
        info = known[file]
        lengths[recording] = info.duration_s
        rate = rate or info.rate
        if info.rate != rate:
            note(f"{recording}: rate {info.rate} Hz; expected {rate} Hz")
        channel = channels.get(recording, channel)
        if channel >= info.channels:
            note(
                f"{recording}: side {'AB'[channel]}, but {file} has "
                f"{info.channels} channel(s)"
            )
    return lengths


def _check_segment_ends(
    tables: Dict[str, _Table],
    segments: Dict[str, Tuple[str, float, Optional[float]]],
    lengths: Dict[str, float],
    problems: List[Problem],
) -> None:
    if "segments" not in tables:
        return
    for number, utt in enumerate(tables["segments"].keys, start=1):
        recording, start, end = segments.get(utt, (None, 0.0, 0.0))
        length = lengths.get(recording, math.inf)
        if start >= length or (end is not None and end > length + ROUNDING_S):
            what = f"{utt}: {start} to {end} s, but the audio has {length:.2f} s"
            problems.append(Problem(str(tables["segments"].path), number, what, utt))
