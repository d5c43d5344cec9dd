"""TextGrid files of Praat, long text format: a tier of labels and one of words.

Ref: Praat manual, "TextGrid file formats". Quotation marks inside of a text are
doubled; where no label is, the text is empty.
"""

import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.alignment.formats.ctm import words_of_utterance
from espnet_ext.alignment.paths import Run, symbols_of
from espnet_ext.alignment.store import Aligned, AlignmentInfo
from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike, atomic_write

LABELS, WORDS = "labels", "words"
SAME_S = 1e-9  # times nearer than this are one time
_FIELD = re.compile(r'^\s*(\w+)(?: \[\d+\])?:? ?=? ?(?:"((?:[^"]|"")*)"|([-+.\deE]+))?')


class Interval(NamedTuple):
    """A stretch of a tier in seconds; the text may be empty."""

    start_s: float
    end_s: float
    text: str


def intervals_of(
    stretches: Sequence[Tuple[float, float, str]], end_s: float
) -> List[Interval]:
    """A whole tier: the stretches, and empty intervals between them."""
    tier: List[Interval] = []
    done = 0.0
    for start, end, text in stretches:
        if start > done + SAME_S:
            tier.append(Interval(done, start, ""))
        tier.append(Interval(max(start, done), end, text))
        done = end
    if end_s > done + SAME_S or not tier:
        tier.append(Interval(done, end_s, ""))
    return tier


def write_textgrid(
    entry: Aligned,
    info: AlignmentInfo,
    path: PathLike,
    spoken: Optional[Sequence[str]] = None,
) -> None:
    """Write one utterance; ``spoken`` as in ``write_word_ctm``."""
    shift = info.frame_shift_s
    end_s = entry.frames * shift
    labels = [
        (run.start * shift, run.end * shift, info.tokens[run.label])
        for run in entry.runs(info)
    ]
    words = [
        (word.start_s, word.end_s, word.text)
        for word in words_of_utterance(entry, info, spoken)
    ]
    tiers = [(LABELS, intervals_of(labels, end_s)), (WORDS, intervals_of(words, end_s))]
    with atomic_write(path) as file:
        file.writelines(line + "\n" for line in _lines(tiers, end_s))


def _lines(tiers, end_s: float) -> Iterator[str]:
    yield 'File type = "ooTextFile"'
    yield 'Object class = "TextGrid"'
    yield ""
    yield from ("xmin = 0", f"xmax = {_time(end_s)}", "tiers? <exists>")
    yield from (f"size = {len(tiers)}", "item []:")
    for number, (name, tier) in enumerate(tiers, 1):
        yield f"    item [{number}]:"
        yield '        class = "IntervalTier"'
        yield f"        name = {_quoted(name)}"
        yield "        xmin = 0"
        yield f"        xmax = {_time(end_s)}"
        yield f"        intervals: size = {len(tier)}"
        for place, interval in enumerate(tier, 1):
            yield f"        intervals [{place}]:"
            yield f"            xmin = {_time(interval.start_s)}"
            yield f"            xmax = {_time(interval.end_s)}"
            yield f"            text = {_quoted(interval.text)}"


def _time(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") or "0"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def read_tier(path: PathLike, name: str) -> List[Interval]:
    """The intervals of one tier, of a file in long text format.

    Raises:
        FormatError: There is no such tier, or the file is another kind.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise FormatError(f"cannot be read: {error}", where=path) from None
    if not text.startswith("File type"):
        raise FormatError("no TextGrid in long text format", where=path)
    intervals: Optional[List[Interval]] = None
    times: List[float] = []
    for line in text.splitlines():
        match = _FIELD.match(line)
        key, quoted, number = match.groups() if match else (None, None, None)
        if key == "name":
            if intervals is not None:
                break
            intervals = [] if quoted == name else None
        elif key == "intervals" and intervals is not None:
            times = []
        elif key in ("xmin", "xmax") and number is not None:
            times.append(float(number))
        elif key == "text" and intervals is not None:
            intervals.append(Interval(*times[-2:], (quoted or "").replace('""', '"')))
    if intervals is None:
        raise FormatError(f"there is no tier {name!r}", where=path)
    return intervals


def read_textgrid(path: PathLike, info: AlignmentInfo) -> np.ndarray:
    """Symbols of one utterance, from its tier of labels.

    Raises:
        FormatError: A label is unknown, or the times do not fit the frame shift.
    """
    ids = {token: number for number, token in enumerate(info.tokens)}
    tier = read_tier(path, LABELS)
    shift = info.frame_shift_s
    unknown = [i.text for i in tier if i.text and i.text not in ids]
    if unknown:
        raise FormatError(f"token {unknown[0]!r} is unknown", where=path)
    found = [
        Run(ids[i.text], i.start_s / shift, i.end_s / shift) for i in tier if i.text
    ]
    frames = round(tier[-1].end_s / shift)
    return symbols_of(found, frames, info.rules, info.blank)
