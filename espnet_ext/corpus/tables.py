"""Tables of a data directory as columns, read fast and with every fault noted."""

# Bytes are checked with whole-file operations (sorted lists, sets, one pattern over all
# bytes) and only searched line by line where one of them fails: a million lines take
# seconds.

import contextlib
import gc
import re
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Set

import numpy as np

CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
TO_THE_END = -1.0
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
_TIMED = re.compile(rf"\S+\s+(?:{_NUMBER})\s+(?:{_NUMBER})$", re.IGNORECASE)
BOM = b"\xef\xbb\xbf"


# look like a blank, like nothing, or stand for what could not be decoded
ILLEGAL_CHARACTERS = re.compile(
    "[\x80-\x9f\xa0\xad\u200b-\u200f\u2028-\u202f\u2060\ufeff\ufffd]"
)
# one window of the usual features
MIN_UTTERANCE_S = 0.025


class Problem(NamedTuple):
    """One fault: file, line (0 for the file as a whole), and what is wrong.

    ``utterance`` or ``recording`` names what is bad when the rest of the set is still
    usable.
    """

    file: str
    line: int
    what: str
    utterance: Optional[str] = None
    recording: Optional[str] = None

    def __str__(self) -> str:
        where = f"{self.file} line {self.line}" if self.line else self.file
        return f"{where}: {self.what}"


class Table(NamedTuple):
    path: Path
    keys: List[str]
    values: List[str]


class Segments(NamedTuple):
    """Columns of ``segments``; an end of -1 is the end of the file."""

    keys: List[str]
    recordings: List[str]
    starts_s: List[float]
    ends_s: List[float]


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of short lists and no cycles: collecting would take half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_table(path: Path, problems: List[Problem]) -> Table:
    """Split a file into ids and the rest; note faults of bytes, lines and order."""

    def note(line: int, what: str) -> None:
        problems.append(Problem(str(path), line, what))

    data = path.read_bytes()
    if not data:
        note(0, "file is empty")
        return Table(path, [], [])
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
    else:
        for match in ILLEGAL_CHARACTERS.finditer("" if text.isascii() else text):
            line = text.count("\n", 0, match.start()) + 1
            note(line, f"illegal character U+{ord(match.group()):04X}")
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
    return Table(path, keys, values)


def parse_segments(
    tables: Dict[str, Table], recordings: Dict[str, str], problems: List[Problem]
) -> Segments:
    """Recording, start and end of each utterance; without segments, whole files."""
    if "segments" not in tables:
        keys = list(recordings)
        return Segments(keys, keys, [0.0] * len(keys), [TO_THE_END] * len(keys))
    table = tables["segments"]
    fields = [value.split() for value in table.values]
    try:
        segments = Segments(
            table.keys,
            [recording for recording, _, _ in fields],
            [float(start) for _, start, _ in fields],
            [float(end) for _, _, end in fields],
        )
    except ValueError:
        for number, (utt, value) in enumerate(zip(table.keys, table.values), start=1):
            if not _TIMED.match(value):
                what = f"{utt}: found {value!r}; expected RECORDING START END"
                problems.append(Problem(str(table.path), number, what))
        return Segments(table.keys, [], [], [])
    if not set(segments.recordings).issubset(recordings):
        for number, recording in enumerate(segments.recordings, start=1):
            if recording not in recordings:
                what = f"{table.keys[number - 1]}: recording {recording} is not in"
                problems.append(Problem(str(table.path), number, f"{what} wav.scp"))
    starts, ends = np.array(segments.starts_s), np.array(segments.ends_s)
    # NaN fails every comparison, so it is no span either
    spans = (starts >= 0) & ((ends == TO_THE_END) | ((ends > starts) & (ends < np.inf)))
    for index in np.flatnonzero(~spans):
        utt = table.keys[index]
        what = f"{utt}: start {starts[index]} and end {ends[index]} are no time span"
        problems.append(Problem(str(table.path), int(index) + 1, what, utt))
    short = spans & (ends != TO_THE_END) & (ends - starts < MIN_UTTERANCE_S)
    for index in np.flatnonzero(short):
        utt = table.keys[index]
        what = f"{utt}: {ends[index] - starts[index]:.3f} s are too short; expected "
        what += f"at least {MIN_UTTERANCE_S} s"
        problems.append(Problem(str(table.path), int(index) + 1, what, utt))
    return segments
