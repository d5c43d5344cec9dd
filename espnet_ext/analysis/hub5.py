"""Built-in Hub5 scoring: GLM on both sides, words to segments by time, alignment.

Gives the numbers of ``hubscr.pl -V -l english -h hub5`` (csrfilt, then sclite -F -D)
for machines without NIST's tools. A word belongs to the first segment of its side that
ends behind the word's middle; the last segment takes the rest. Words in ignored
segments are not scored.

Ref: NIST SCTK (public domain), hubscr.pl 0.20, csrfilt.sh 1.17 and
src/sclite/stm2ctm.c; checked against hubscr.pl of SCTK 2.4.10.
"""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from espnet_ext.analysis.align import align
from espnet_ext.analysis.glm import HYPOTHESIS, REFERENCE, Glm, filter_text, load_glm
from espnet_ext.analysis.network import (
    SILENCE,
    Element,
    build_network,
    lower_ascii,
    make_word,
    parse_transcript,
)
from espnet_ext.analysis.scores import Score, ScoredSegment
from espnet_ext.analysis.stm import StmSegment, read_stm
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines

PathLike = Union[str, Path]
_NUMBER = re.compile(r"^[0-9.\-]*$")


class CtmError(FormatError):
    """The hypothesis has words for a recording side that the reference lacks."""


class TimedElement(NamedTuple):
    """A hypothesis word, or alternatives, and the latest middle of its words (s)."""

    middle: float
    element: Element


def score_hub5(stm_path: PathLike, ctm_path: PathLike, glm_path: PathLike) -> Score:
    """Score a CTM against an STM.

    Raises:
        FormatError: One of the files is malformed.
        CtmError: The CTM has a file or channel that the STM does not have.
    """
    stm = read_stm(stm_path)
    reference_glm = load_glm(glm_path, REFERENCE)
    words = read_ctm(ctm_path, load_glm(glm_path, HYPOTHESIS))
    sides: Dict[Tuple[str, str], List[StmSegment]] = {}
    for segment in stm.segments:
        key = (lower_ascii(segment.file), lower_ascii(segment.channel))
        sides.setdefault(key, []).append(segment)
    for file, channel in words:
        if (file, channel) not in sides:
            raise CtmError(
                f"words for file {file!r} channel {channel!r}, which {stm_path} lacks",
                where=ctm_path,
                expected="the files and channels of the reference",
            )
    scored: List[ScoredSegment] = []
    for side, segments in sides.items():
        spoken = _assign(segments, words.get(side, []))
        for segment, elements in zip(segments, spoken):
            if not segment.ignored:
                scored.append(_score(segment, elements, reference_glm, stm_path))
    return Score(scored, "builtin", _version(), stm.titles)


def _version() -> str:
    from espnet_ext import __version__

    return f"espnet_ext {__version__}"


def _score(
    segment: StmSegment, elements: Sequence[Element], glm: Glm, stm_path
) -> ScoredSegment:
    where = f"{stm_path} line {segment.line}"
    text = lower_ascii(filter_text(segment.text, glm, where))
    try:
        reference = parse_transcript(text, optional=True, fragments=True)
    except FormatError as error:
        raise FormatError(error.found, where=where, expected=error.expected) from None
    file, channel = lower_ascii(segment.file), lower_ascii(segment.channel)
    return ScoredSegment(
        id=f"{file}-{channel}-{segment.start:.2f}-{segment.end:.2f}",
        speaker=lower_ascii(segment.speaker),
        alignment=align(reference, build_network(elements)),
        file=file,
        channel=channel,
        start=segment.start,
        end=segment.end,
        labels=segment.labels,
    )


def _assign(
    segments: Sequence[StmSegment], words: Sequence[TimedElement]
) -> List[List[Element]]:
    """Give each word of one side to a segment; both in order of time."""
    result: List[List[Element]] = []
    position = 0
    for number, segment in enumerate(segments):
        taken = position
        end = float(np.float32(segment.end))  # sclite keeps it in single precision
        last = number == len(segments) - 1
        while taken < len(words) and (last or words[taken].middle < end):
            taken += 1
        result.append([word.element for word in words[position:taken]])
        position = taken
    return result


def read_ctm(path: PathLike, glm: Glm) -> Dict[Tuple[str, str], List[TimedElement]]:
    """Read a CTM, filter each word and group them by (file, channel), lower case.

    Raises:
        FormatError: A line has fewer than five fields or no times, or a rule of the GLM
            deletes a whole word (NIST's filter would score its confidence as a word).
    """
    lines: Dict[Tuple[str, str], List[Tuple[float, int, List[str]]]] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields or line.lstrip().startswith(";;"):
            continue
        try:
            start = float(fields[2])
            float(fields[3])
            fields[4]
        except (IndexError, ValueError):
            raise FormatError(
                f"not a CTM line: {line[:80]!r}",
                where=f"{path} line {number}",
                expected="FILE CHANNEL START DURATION WORD [CONFIDENCE]",
            ) from None
        side = (lower_ascii(fields[0]), lower_ascii(fields[1]))
        lines.setdefault(side, []).append((start, number, fields))
    cache: Dict[str, str] = {}
    result: Dict[Tuple[str, str], List[TimedElement]] = {}
    for side, entries in lines.items():
        entries.sort(key=lambda entry: entry[0])  # stable, as NIST's sort is
        result[side] = []
        for _, number, fields in entries:
            word = fields[4]
            if word not in cache:
                cache[word] = filter_text(word, glm, f"{path} line {number}")
            if not cache[word]:
                raise FormatError(
                    f"the mapping deletes the whole word {word!r}",
                    where=f"{path} line {number}",
                    next_step="give the rule in the GLM a replacement",
                )
            result[side].extend(_expand(fields, cache[word]))
    return result


def _expand(fields: Sequence[str], text: str) -> List[TimedElement]:
    """The elements of one CTM line after filtering: split words, alternatives."""
    words = text.replace("{", " { ").replace("}", " } ").split()
    extra = list(fields[5:])
    start, duration = float(fields[2]), float(fields[3])
    if len(words) + len(extra) == 1:
        return [_timed(words[0], start, duration)]
    everything = words + extra
    if _NUMBER.match(everything[-1]):
        everything.pop()  # the confidence; a number said last passes for one
    alternatives = " ".join(everything).rstrip("/").split("/")
    sequences = [
        _spread(part.replace("{", "").replace("}", "").split(), start, duration)
        for part in alternatives
    ]
    if len(sequences) == 1:
        return sequences[0]
    middle = max((word.middle for part in sequences for word in part), default=0.0)
    silence = make_word(SILENCE)
    element = tuple(
        tuple(word.element for word in part) or (silence,) for part in sequences
    )
    return [TimedElement(max(middle, 0.0), element)]


def _spread(words: Sequence[str], start: float, duration: float) -> List[TimedElement]:
    each = duration / len(words) if words else 0.0
    return [
        _timed(word, float(f"{start + each * i:.3f}"), float(f"{each:.3f}"))
        for i, word in enumerate(words)
    ]


def _timed(word: str, start: float, duration: float) -> TimedElement:
    element = make_word(lower_ascii(word), optional=True, fragments=True)
    return TimedElement(start + duration / 2.0, element)
