"""Reads what scoring needs of Kaldi-style data directories and hypothesis files."""

from pathlib import Path
from typing import Collection, Dict, NamedTuple, Optional, Tuple, Union

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import read_lines

PathLike = Union[str, Path]
SHOWN_IDS = 5


class CoverageError(FormatError):
    """Hypotheses are missing, or there are some that the reference does not have."""


class Place(NamedTuple):
    """Where an utterance lies: recording id, and seconds (end None: to the end)."""

    recording: str
    start: float
    end: Optional[float]


def read_table(path: PathLike) -> Dict[str, str]:
    """Lines ``key value ...`` as a dictionary; the value may be empty.

    Raises:
        MissingInputError: The file does not exist.
        FormatError: A line is empty, or a key comes twice.
    """
    table: Dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, *rest = line.split(None, 1)[:2] or [""]
        if not key:
            raise FormatError("an empty line", where=f"{path} line {number}")
        if key in table:
            raise FormatError(f"{key} comes twice", where=f"{path} line {number}")
        table[key] = " ".join(rest[0].split()) if rest else ""
    return table


def read_segments(path: PathLike) -> Dict[str, Place]:
    """Utterance id to its place, from a file ``segments``; a negative end is none.

    Raises:
        FormatError: A line does not hold a recording and two times in order.
    """
    places: Dict[str, Place] = {}
    for utterance, value in read_table(path).items():
        try:
            recording, start, end = value.split()
            start_s, end_s = float(start), float(end)
        except ValueError:
            raise FormatError(
                f"{utterance}: {value!r}",
                where=path,
                expected="RECORDING START END in seconds",
            ) from None
        if 0 <= end_s <= start_s:
            raise FormatError(f"{utterance} ends before it starts", where=path)
        places[utterance] = Place(recording, start_s, None if end_s < 0 else end_s)
    return places


def read_sides(path: PathLike) -> Dict[str, Tuple[str, str]]:
    """Recording id to (file, channel), from a file ``reco2file_and_channel``."""
    sides = {}
    for recording, value in read_table(path).items():
        fields = value.split()
        if len(fields) != 2:
            raise FormatError(
                f"{recording}: {value!r}", where=path, expected="FILE CHANNEL"
            )
        sides[recording] = (fields[0], fields[1])
    return sides


def read_hypotheses(
    path: PathLike, utterances: Collection[str], others: Collection[str] = ()
) -> Dict[str, str]:
    """Hypotheses of exactly the given utterances.

    Args:
        path: File ``utterance-id words...``; the words may be empty.
        utterances: The ids that are expected, in the order wanted.
        others: Ids that may be there as well and are left out.

    Raises:
        MissingInputError: There is no such file.
        CoverageError: Hypotheses are missing or superfluous.
    """
    try:
        found = read_table(path)
    except MissingInputError:
        raise MissingInputError(
            "no hypotheses", where=path, next_step="decode this set first (stage 12)"
        ) from None
    wanted = {k: v for k, v in found.items() if k in utterances or k not in others}
    check_coverage(wanted, utterances, path)
    return {utterance: found[utterance] for utterance in utterances}


def check_coverage(
    found: Collection[str], expected: Collection[str], path: PathLike
) -> None:
    """Require the same utterances on both sides.

    Raises:
        CoverageError: Naming how many and the first few.
    """
    missing = [utterance for utterance in expected if utterance not in found]
    extra = [utterance for utterance in found if utterance not in expected]
    problems = []
    for what, ids in (("missing", missing), ("not in the reference", extra)):
        if ids:
            more = ", ..." if len(ids) > SHOWN_IDS else ""
            problems.append(f"{len(ids)} {what}: {', '.join(ids[:SHOWN_IDS])}{more}")
    if problems:
        raise CoverageError(
            "hypotheses " + "; ".join(problems),
            where=path,
            expected=f"one line for each of {len(expected)} utterances",
            next_step="decode the set completely; an empty result is a line with only "
            "the utterance id",
        )
