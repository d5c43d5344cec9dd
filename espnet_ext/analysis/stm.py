"""NIST's STM references: segments with times, speakers and category labels.

;; CATEGORY "1" "Subset" "..."      ;; LABEL "en" "CallHome" "..."
en_4156 A en_4156_A 357.64 359.64 <O,en,F> HE IS A POLICE OFFICER
"""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple, Union

from espnet_ext.analysis.network import lower_ascii
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines

IGNORED = ("ignore_time_segment_in_scoring", "ignoretimesegmentinscoring")
_LABEL = re.compile(r'^;;\s*LABEL\s+"([^"]*)"\s+"([^"]*)"', re.IGNORECASE)
_FIELDS = re.compile(
    r"^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*(<\S+>)?(.*)$", re.DOTALL
)


class StmSegment(NamedTuple):
    """One reference segment; times in seconds, labels without brackets."""

    file: str
    channel: str
    speaker: str
    start: float
    end: float
    labels: Tuple[str, ...]
    text: str
    line: int

    @property
    def ignored(self) -> bool:
        """Whether words in this time are not scored at all."""
        text = lower_ascii(self.text)
        return any(mark in text for mark in IGNORED)


class Stm(NamedTuple):
    """Segments in the order of file, channel and start; titles of the labels."""

    segments: List[StmSegment]
    titles: Dict[str, str]


def read_stm(path: Union[str, Path]) -> Stm:
    """Read an STM file.

    Raises:
        FormatError: A line has fewer than five fields or no times, or carries a label
            that the header does not define (sclite stops there as well).
    """
    titles: Dict[str, str] = {}
    segments: List[StmSegment] = []
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith(";;"):
            label = _LABEL.match(line)
            if label:
                titles[lower_ascii(label.group(1))] = label.group(2)
        elif line.strip():
            segments.append(_parse_segment(line, path, number))
    if not segments:
        raise FormatError("no segments", where=path, expected="an STM reference")
    for segment in segments:
        for label in segment.labels:
            if label not in titles and not segment.ignored:
                raise FormatError(
                    f"label {label!r} is not defined in the header",
                    where=f"{path} line {segment.line}",
                    expected=f"one of {', '.join(titles) or 'none: no LABEL lines'}",
                    next_step=f'add a line: ;; LABEL "{label}" "its title" ""',
                )
    segments.sort(key=lambda s: (s.file, s.channel, s.start))
    return Stm(segments, titles)


def _parse_segment(line: str, path, number: int) -> StmSegment:
    match = _FIELDS.match(line)
    try:
        if match is None:
            raise ValueError
        file, channel, speaker, start, end, labels, text = match.groups()
        return StmSegment(
            file,
            channel,
            speaker,
            float(start),
            float(end),
            tuple(lower_ascii((labels or "<>")[1:-1]).split(",")) if labels else (),
            " ".join(text.split()),
            number,
        )
    except ValueError:
        raise FormatError(
            f"not an STM line: {line[:80]!r}",
            where=f"{path} line {number}",
            expected="FILE CHANNEL SPEAKER START END [<LABELS>] WORDS",
        ) from None
