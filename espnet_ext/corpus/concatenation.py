"""Longer recordings to recognise: consecutive segments of a side joined, C at a time.

The audio of the segments is joined without what lies between them; their references are
joined in one STM segment from the first start to the last end. Segments that are empty
or not scored are left out, and the last group of a side may be shorter.

Ref: reference/recognition.md section 5 (concat-seqs of the 2020 experiments).
"""

from dataclasses import replace
from typing import Dict, Iterable, List, NamedTuple, Tuple

from espnet_ext.corpus.kaldi_dir import Utterance, format_time, utterance_id
from espnet_ext.corpus.stm import Stm, StmSegment
from espnet_ext.errors import FormatError

# the values of the original's sweep
COUNTS = (1, 2, 4, 6, 8, 10, 20, 30, 50, 60, 80, 100)
# utterance, then start and end of each part in seconds
PARTS_FILE = "utt2parts"
Span = Tuple[float, float]


class JoinedSet(NamedTuple):
    """A set of joined segments; ``parts`` are the times that hold the speech."""

    stm: Stm
    utterances: List[Utterance]
    parts: Dict[str, List[Span]]

    def parts_text(self) -> str:
        """Content of ``utt2parts``."""
        lines = []
        for utterance, spans in sorted(self.parts.items()):
            times = [format_time(time_s) for span in spans for time_s in span]
            lines.append(f"{utterance} {' '.join(times)}\n")
        return "".join(lines)


def joined_set_name(name: str, count: int) -> str:
    """``hub5e_00`` and 4 -> ``hub5e_00_concat4``."""
    return f"{name}_concat{count}"


def join_segments(stm: Stm, utterances: Iterable[Utterance], count: int) -> JoinedSet:
    """Join up to ``count`` segments of each side.

    Args:
        stm: Repaired (see ``stm.repaired``).
        utterances: Those that were made from it, in any order.
    """
    by_id = {u.utterance_id: u for u in utterances}
    by_side: Dict[str, List[StmSegment]] = {}
    for segment in stm.segments:
        if segment.text and not segment.ignored:
            by_side.setdefault(_side(segment), []).append(segment)
    segments, joined, parts = [], [], {}
    for side in sorted(by_side):
        ordered = sorted(by_side[side], key=lambda s: (s.start_s, s.end_s))
        for first in range(0, len(ordered), count):
            group = ordered[first : first + count]
            members = [by_id[_id(segment)] for segment in group]
            segments.append(
                replace(
                    group[0],
                    end_s=max(segment.end_s for segment in group),
                    text=" ".join(segment.text for segment in group),
                )
            )
            name = _id(segments[-1])
            joined.append(
                replace(
                    members[0],
                    utterance_id=name,
                    text=" ".join(u.text for u in members if u.text),
                    end_s=max(u.end_s or 0.0 for u in members),
                )
            )
            parts[name] = [(u.start_s, u.end_s or 0.0) for u in members]
    return JoinedSet(Stm(stm.header, tuple(segments)), joined, parts)


def parse_parts(lines: Iterable[str], where: object) -> Dict[str, List[Span]]:
    """The content of ``utt2parts``.

    Raises:
        FormatError: A line has no pairs of times.
    """
    parts = {}
    for number, line in enumerate(lines, start=1):
        name, *words = line.split()
        try:
            times = [float(word) for word in words]
            spans = list(zip(times[::2], times[1::2], strict=True))
            if not spans:
                raise ValueError
        except ValueError:
            raise FormatError(
                f"found {line!r}",
                where=f"{where} line {number}",
                expected="UTTERANCE START END [START END ...]",
            ) from None
        parts[name] = spans
    return parts


def _side(segment: StmSegment) -> str:
    return f"{segment.file}-{segment.channel}"


def _id(segment: StmSegment) -> str:
    return utterance_id(_side(segment), segment.start_s, segment.end_s)
