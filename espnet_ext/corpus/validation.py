"""Checks of a data directory: every fault is named with file and line."""

import math
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from espnet_ext.corpus.tables import (
    MIN_UTTERANCE_S,
    TO_THE_END,
    Problem,
    Segments,
    Table,
    no_garbage_collection,
    parse_segments,
    read_table,
)
from espnet_ext.errors import FormatError, MissingInputError, UserError
from espnet_ext.files import atomic_write, read_lines

PathLike = Union[str, Path]

SHOWN_PROBLEMS = 20
REQUIRED = ("wav.scp", "text", "utt2spk", "spk2utt")
TABLES = REQUIRED + ("segments", "reco2file_and_channel")


class ValidSet(NamedTuple):
    """Size of a directory that passed: utterances, recordings, hours, speakers."""

    path: Path
    utterances: int
    recordings: int
    speakers: int
    hours: float
    problems: List[Problem]


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
        max_bad_percent: Tolerated share of utterances that are bad themselves (empty
            text, segment past the end, ...) or whose recording is (missing, truncated,
            wrong rate, ...). Faults of the tables are never tolerated.
        list_file: Where to write all problems, one a line; not written without one.

    Raises:
        FormatError: With the first problems and their number.
    """
    path = Path(path)
    found, facts = find_problems(path, check_audio=check_audio, rate=rate)
    if list_file is not None and found:
        with atomic_write(list_file) as file:
            file.writelines(f"{problem}\n" for problem in found)
    tables_are_sound = all(problem.utterance or problem.recording for problem in found)
    share = 100 * _bad_utterances(path, found) / max(facts.utterances, 1)
    if found and not (tables_are_sound and share <= max_bad_percent):
        shown = "\n".join(f"    {problem}" for problem in found[:SHOWN_PROBLEMS])
        if len(found) > SHOWN_PROBLEMS:
            shown += f"\n    ... and {len(found) - SHOWN_PROBLEMS} more"
        raise FormatError(
            f"{len(found)} problem(s), {share:.2f} % of the utterances:\n{shown}",
            where=path,
            expected=f"sound tables and at most {max_bad_percent:g} % bad utterances",
            next_step=(
                f"all of them: {list_file}"
                if list_file
                else f"espnet-ext data validate {path} writes a list of all"
            ),
        )
    return facts


def _bad_utterances(path: Path, problems: List[Problem]) -> int:
    """How many utterances are bad, or in a bad recording."""
    bad = {problem.utterance for problem in problems if problem.utterance}
    recordings = {problem.recording for problem in problems if problem.recording}
    if recordings and (path / "segments").is_file():
        fields = (line.split() for line in read_lines(path / "segments"))
        bad.update(f[0] for f in fields if len(f) > 1 and f[1] in recordings)
    else:  # each recording is an utterance
        bad |= recordings
    return len(bad)


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
    with no_garbage_collection():
        return _find_problems(path, check_audio, rate)


def _find_problems(
    path: Path, check_audio: bool, rate: Optional[int]
) -> Tuple[List[Problem], ValidSet]:
    problems: List[Problem] = []
    tables: Dict[str, Table] = {}
    for name in TABLES:
        if (path / name).is_file():
            tables[name] = read_table(path / name, problems)
        elif name in REQUIRED:
            problems.append(Problem(str(path / name), 0, "file is missing"))
    if any(name not in tables for name in REQUIRED):
        return problems, ValidSet(path, 0, 0, 0, 0.0, problems)

    _check_texts(tables["text"], (path / "stm").exists(), problems)
    recordings = dict(zip(tables["wav.scp"].keys, tables["wav.scp"].values))
    segments = parse_segments(tables, recordings, problems)
    for name in ("text", "utt2spk"):
        _check_same_ids(tables[name], segments.keys, problems)
    _check_spk2utt(tables, problems)
    channels = _check_sides(tables.get("reco2file_and_channel"), recordings, problems)
    lengths: Dict[str, float] = {}
    if check_audio:
        lengths = _check_audio(tables["wav.scp"], channels, rate, problems)
        _check_segment_ends(tables, segments, lengths, problems)
    seconds = sum(
        (lengths.get(reco, 0.0) if end == TO_THE_END else end) - start
        for _, reco, start, end in zip(*segments)
    )
    return problems, ValidSet(
        path,
        len(segments.keys),
        len(recordings),
        len(tables["spk2utt"].keys),
        seconds / 3600,
        problems,
    )


def _check_texts(text: Table, may_be_empty: bool, problems: List[Problem]) -> None:
    if may_be_empty or all(text.values):
        return
    for number, (utt, words) in enumerate(zip(text.keys, text.values), start=1):
        if not words:
            problems.append(Problem(str(text.path), number, f"{utt}: empty text", utt))


def _check_same_ids(table: Table, expected: List[str], problems: List[Problem]) -> None:
    if table.keys == expected:
        return
    found, wanted = set(table.keys), set(expected)
    for number, key in enumerate(table.keys, start=1):
        if key not in wanted:
            what = f"{key} is not in segments (or wav.scp without segments)"
            problems.append(Problem(str(table.path), number, what))
    for key in sorted(wanted - found):
        problems.append(Problem(str(table.path), 0, f"{key} is missing"))


def _check_spk2utt(tables: Dict[str, Table], problems: List[Problem]) -> None:
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
    table: Optional[Table], recordings: Iterable[str], problems: List[Problem]
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
    wav_scp: Table,
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
            where = str(wav_scp.path)
            problems.append(Problem(where, line, what, recording=recording))

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
        if info.duration_s < MIN_UTTERANCE_S:
            what = f"{recording}: {info.duration_s:.4f} s of audio are too short; "
            note(f"{what}expected at least {MIN_UTTERANCE_S} s")
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
    tables: Dict[str, Table],
    segments: Segments,
    lengths: Dict[str, float],
    problems: List[Problem],
) -> None:
    if "segments" not in tables:
        return
    from espnet_ext.corpus.audio import ROUNDING_S

    path = str(tables["segments"].path)
    for number, (utt, recording, start, end) in enumerate(zip(*segments), start=1):
        length = lengths.get(recording, math.inf)
        if start >= length or end > length + ROUNDING_S:
            what = f"{utt}: {start} to {end} s, but the audio has {length:.2f} s"
            problems.append(Problem(path, number, what, utt))
