"""What every scorer returns: aligned segments, and the counts made from them."""

from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from espnet_ext.analysis.align import (
    CORRECT_OP,
    DEL_OP,
    INS_OP,
    SUB_OP,
    Alignment,
)


@dataclass(frozen=True)
class Counts:
    """Sums over segments, with the columns of sclite's tables.

    Args:
        sentences: Segments scored.
        words: Reference words (correct + substitutions + deletions).
        correct, substitutions, deletions, insertions: Words.
        wrong_sentences: Segments with at least one error.
    """

    sentences: int = 0
    words: int = 0
    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    wrong_sentences: int = 0

    @property
    def errors(self) -> int:
        """Substitutions + deletions + insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def error_rate(self) -> float:
        """Errors per reference word in percent; nan without reference words."""
        return self.percent(self.errors)

    def percent(self, number: int) -> float:
        """``number`` per reference word in percent; nan without reference words."""
        return 100.0 * number / self.words if self.words else float("nan")

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self.values(), other.values())))

    def values(self) -> Tuple[int, ...]:
        """The seven numbers in order."""
        return (
            self.sentences,
            self.words,
            self.correct,
            self.substitutions,
            self.deletions,
            self.insertions,
            self.wrong_sentences,
        )


@dataclass(frozen=True)
class ScoredSegment:
    """One aligned segment.

    Args:
        id: Utterance id, or file-channel-times for STM segments.
        speaker: Speaker as in the tables.
        alignment: Aligned words.
        file, channel, start, end: Place in the recording (STM scoring; seconds).
        labels: Category labels of the segment, lower case.
    """

    id: str
    speaker: str
    alignment: Alignment
    file: str = ""
    channel: str = ""
    start: float = 0.0
    end: float = 0.0
    labels: Tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        """The counts of this segment alone."""
        ops = [pair.op for pair in self.alignment.pairs]
        correct, substitutions = ops.count(CORRECT_OP), ops.count(SUB_OP)
        deletions, insertions = ops.count(DEL_OP), ops.count(INS_OP)
        return Counts(
            1,
            correct + substitutions + deletions,
            correct,
            substitutions,
            deletions,
            insertions,
            int(correct != len(ops)),
        )


@dataclass(frozen=True)
class Score:
    """The result of one scorer on one set.

    Args:
        segments: All scored segments.
        scorer: "sclite" or "builtin".
        version: Version of the scorer.
        titles: Title of each category label.
    """

    segments: Sequence[ScoredSegment]
    scorer: str
    version: str
    titles: Dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """Counts over all segments."""
        return sum_counts(self.segments)

    def by_speaker(self) -> Dict[str, Counts]:
        """Counts of each speaker, in order of first appearance."""
        return self._grouped(lambda segment: [segment.speaker])

    def by_label(self) -> Dict[str, Counts]:
        """Counts of each category label."""
        return self._grouped(lambda segment: segment.labels)

    def _grouped(
        self, keys: Callable[[ScoredSegment], Iterable[str]]
    ) -> Dict[str, Counts]:
        groups: Dict[str, List[ScoredSegment]] = {}
        for segment in self.segments:
            for key in keys(segment):
                groups.setdefault(key, []).append(segment)
        return {key: sum_counts(group) for key, group in groups.items()}


def sum_counts(segments: Iterable[ScoredSegment]) -> Counts:
    """Counts over some segments."""
    rows = [segment.counts.values() for segment in segments]
    return Counts(*(sum(column) for column in zip(*rows))) if rows else Counts()


CORPUS_OF_PREFIX = {"sw": "swb", "en": "ch", "fsh": "fsh"}


def corpus_subsets(segments: Sequence[ScoredSegment]) -> Dict[str, List[ScoredSegment]]:
    """Split the segments of a NIST set into its corpora by the names of the files.

    ``sw_4390`` is Switchboard (swb), ``en_4156`` CallHome (ch), ``fsh_60262`` Fisher.

    Returns:
        Segments of each corpus; empty when there is just one or a name is unknown.
    """
    groups: Dict[str, List[ScoredSegment]] = {}
    for segment in segments:
        prefix, _, rest = segment.file.partition("_")
        if not rest or prefix.lower() not in CORPUS_OF_PREFIX:
            return {}
        groups.setdefault(CORPUS_OF_PREFIX[prefix.lower()], []).append(segment)
    return groups if len(groups) > 1 else {}


def subsets(score: Score) -> Dict[str, List[ScoredSegment]]:
    """The parts of a set worth a row: its corpora, then the other label categories.

    A label that marks all segments, or the same segments as a corpus, is left out.
    """
    result = dict(corpus_subsets(score.segments))
    seen = {frozenset(map(id, group)) for group in result.values()}
    seen.add(frozenset(map(id, score.segments)))
    labelled: Dict[str, List[ScoredSegment]] = {}
    for segment in score.segments:
        for label in segment.labels:
            labelled.setdefault(label, []).append(segment)
    for label, group in sorted(labelled.items()):
        members = frozenset(map(id, group))
        if members not in seen:
            seen.add(members)
            result[score.titles.get(label) or label] = group
    return result
