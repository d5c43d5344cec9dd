"""STM reference files of the NIST evaluations: segments with times, labels and words.

A line is ``file channel speaker start end [<label,...>] words``; ``;;`` begins a
comment, among them the CATEGORY and LABEL lines that sclite needs to know the labels.

Ref: NIST SCTK, ``sclite`` documentation, "stm" format.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple, Union

from espnet_ext.corpus.find import OLD_ENCODING
from espnet_ext.corpus.kaldi_dir import format_time, hundredths
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines

PathLike = Union[str, Path]

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
GAP_SPEAKER = "inter_segment_gap"
SIDES = {"1": "A", "2": "B"}

ASIDE_TAG = re.compile(r"<[BE]_ASIDE>", re.IGNORECASE)
DOUBLE_BRACKET = re.compile(r"\(\(+")
ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
OPTIONAL = re.compile(r"\(([^()]*)\)")
LETTER = re.compile(r"\b([A-Za-z])\.")


@dataclass(frozen=True)
class StmSegment:
    """One line. ``channel`` is A or B once repaired; times in seconds.

    ``label`` is the text in angle brackets without them, empty if there is none.
    """

    file: str
    channel: str
    speaker: str
    start_s: float
    end_s: float
    label: str
    text: str

    @property
    def ignored(self) -> bool:
        """Whether the segment takes no part in the scoring."""
        return self.text.strip().upper() == IGNORED

    @property
    def is_gap(self) -> bool:
        """Whether the line only fills the time between two segments (RT-03)."""
        return self.speaker.lower() == GAP_SPEAKER

    def line(self) -> str:
        """The segment as a line of an STM file."""
        fields = [self.file, self.channel, self.speaker]
        fields += [format_time(self.start_s), format_time(self.end_s)]
        if self.label:
            fields.append(f"<{self.label}>")
        return " ".join(fields + ([self.text] if self.text else []))


@dataclass(frozen=True)
class Stm:
    """Comment lines that stand above the segments, and the segments in file order."""

    header: Tuple[str, ...]
    segments: Tuple[StmSegment, ...]

    def to_text(self) -> str:
        """The whole file."""
        lines = list(self.header) + [segment.line() for segment in self.segments]
        return "".join(f"{line}\n" for line in lines)


def read_stm(path: PathLike) -> Stm:
    """Parse a file as it is; see ``repaired`` for the known defects.

    Raises:
        MissingInputError, FormatError: Named with file and line.
    """
    return parse_stm(read_lines(path, or_else=OLD_ENCODING), where=path)


def parse_stm(lines: Iterable[str], where: object = None) -> Stm:
    """Parse the lines of an STM file."""
    header: List[str] = []
    segments: List[StmSegment] = []
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(";;"):
            header.append(line.strip())
        elif line.strip():
            segments.append(_parse_line(line, f"{where} line {number}"))
    if not segments:
        raise FormatError(
            "no segments", where=where, expected="an STM file", next_step="copy it anew"
        )
    return Stm(tuple(header), tuple(segments))


def repaired(stm: Stm) -> Stm:
    """The STM with the defects of the releases mended, ready for hubscr.

    - times rounded to two decimals (hub5'01 has six);
    - channels 1 and 2 become A and B, gap lines go (RT-03);
    - ``((`` becomes ``(``, aside tags go (hub5'00).
    """
    segments = [_repaired_segment(s) for s in stm.segments if not s.is_gap]
    return Stm(stm.header, tuple(segments))


def merged(stms: Iterable[Stm]) -> Stm:
    """Several files as one; each label stays under its category and is kept once."""
    stms = list(stms)
    blocks: Dict[str, Dict[str, None]] = {}
    for stm in stms:
        category = ""
        for line in stm.header:
            if line.split()[1:2] == ["CATEGORY"]:
                category = line
            blocks.setdefault(category, {})[line] = None
    header = tuple(line for block in blocks.values() for line in block)
    return Stm(header, tuple(s for stm in stms for s in stm.segments))


def undefined_labels(stm: Stm) -> List[str]:
    """Labels that segments use and no LABEL line defines: sclite would stop."""
    defined = set()
    for line in stm.header:
        parts = line.split('"')
        if line.split()[1:2] == ["LABEL"] and len(parts) > 1:
            defined.add(parts[1].lower())
    used = {label for s in stm.segments for label in s.label.split(",") if label}
    return sorted(label for label in used if label.lower() not in defined)


def reference_words(text: str, *, letter_dots: bool = False) -> str:
    """One plain reading of an STM text, in lower case, for the raw word error rate.

    The STM itself stays the reference of hubscr; here one reading must be chosen:
    of alternatives the first (``@`` is the empty one); of optional words in
    parentheses those that are neither hesitations nor fragments; letters without dots
    (``U. S.`` -> ``u s``) unless ``letter_dots``; no tags, no hesitations.
    """
    if text.strip().upper() == IGNORED:
        return ""
    text = DOUBLE_BRACKET.sub("(", ASIDE_TAG.sub(" ", text))
    before = None
    while before != text:
        before = text
        text = ALTERNATIVES.sub(lambda found: found.group(1).split("/")[0], text)
        text = OPTIONAL.sub(_spoken_options, text)
    words = text.replace("(", " ").replace(")", " ").lower().split()
    words = [word for word in words if not word.startswith(("%", "<", "@"))]
    if not letter_dots:
        words = [LETTER.sub(r"\1", word) for word in words]
    return " ".join(words)


def scored_words(text: str) -> int:
    """How many words sclite counts in an STM text, up to what the GLM changes.

    Optional words count, of alternatives the first, hyphens part words.
    """
    if text.strip().upper() == IGNORED:
        return 0
    before = None
    while before != text:
        before = text
        text = ALTERNATIVES.sub(lambda found: found.group(1).split("/")[0], text)
    words = text.replace("(", " ").replace(")", " ").split()
    words = [word for word in words if not word.startswith(("<", "@"))]
    return sum(max(1, len(list(filter(None, word.split("-"))))) for word in words)


def _spoken_options(match: "re.Match[str]") -> str:
    words = match.group(1).split()
    kept = [w for w in words if not (w.endswith("-") or w.startswith(("%", "-")))]
    return f" {' '.join(kept)} "


def _repaired_segment(segment: StmSegment) -> StmSegment:
    text = DOUBLE_BRACKET.sub("(", ASIDE_TAG.sub(" ", segment.text))
    return replace(
        segment,
        channel=SIDES.get(segment.channel, segment.channel.upper()),
        start_s=hundredths(segment.start_s) / 100,
        end_s=hundredths(segment.end_s) / 100,
        text=" ".join(text.split()),
    )


def _parse_line(line: str, where: str) -> StmSegment:
    fields = line.split(None, 5)
    if len(fields) < 5:
        raise FormatError(
            f"{len(fields)} fields in {line.strip()!r}",
            where=where,
            expected="file channel speaker start end [<labels>] words",
        )
    rest = fields[5].strip() if len(fields) > 5 else ""
    label, text = _split_label(rest)
    start_s, end_s = _times(fields[3], fields[4], where)
    return StmSegment(*fields[:3], start_s, end_s, label, text)


def _split_label(rest: str) -> Tuple[str, str]:
    """A label list has no blanks; an aside tag (``<B_ASIDE>``) is no label."""
    end = rest.find(">")
    label = rest[1:end]
    if rest.startswith("<") and end > 0 and label.split() == [label]:
        if ASIDE_TAG.match(rest) is None:
            return label, rest[end + 1 :].strip()
    return "", rest


def _times(start: str, end: str, where: str) -> Tuple[float, float]:
    times: Optional[Tuple[float, float]] = None
    try:
        times = float(start), float(end)
    except ValueError:
        pass
    if times is None or not (0 <= times[0] < times[1] < math.inf):
        raise FormatError(
            f"times {start} and {end}", where=where, expected="0 <= start < end"
        )
    return times
