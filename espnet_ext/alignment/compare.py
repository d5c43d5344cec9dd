"""Two alignments of the same speech: shift in time, peaks, agreement."""

# Dimensions: L labels
import dataclasses
import difflib
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.alignment.formats.ctm import words_of_utterance
from espnet_ext.alignment.store import Aligned, AlignmentInfo, AlignmentSet
from espnet_ext.errors import FormatError

NEAR_S = 0.05


@dataclasses.dataclass(frozen=True)
class Peaks:
    """How peaky one alignment is.

    Attributes:
        label_frames: Share of the frames that carry a label.
        label_s: Mean duration of a label.
        blank_run_s: Mean duration of an unbroken stretch of blank.
        score_per_frame: Mean log score of a frame, nats.
        posterior: Mean share of the path in the sum over all paths, exp(score - sum).
    """

    label_frames: float
    label_s: float
    blank_run_s: float
    score_per_frame: float
    posterior: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Figures of two alignments; shifts are second minus first.

    Attributes:
        utterances: That both have.
        only_first, only_second: That one lacks.
        frame_agreement: Share of frames with the same symbol; None where the frame
            shifts or the numbers of frames differ.
        unit: What was compared in time: ``labels``, or ``words`` where labels differ.
        compared: Number of them.
        mean_shift_s, mean_abs_shift_s, median_abs_shift_s, p95_abs_shift_s: Of their
            starts.
        near: Share of starts within 50 ms.
        peaks: Of both.
    """

    utterances: int
    only_first: int
    only_second: int
    frame_agreement: Optional[float]
    unit: str
    compared: int
    mean_shift_s: float
    mean_abs_shift_s: float
    median_abs_shift_s: float
    p95_abs_shift_s: float
    near: float
    peaks: Tuple[Peaks, Peaks]


def peaks_of(alignments: AlignmentSet) -> Peaks:
    """How peaky an alignment is.

    Raises:
        FormatError: It is empty.
    """
    info, shift = alignments.info, alignments.info.frame_shift_s
    durations, blanks, labelled, total = [], [], 0, 0
    scores, shares = [], []
    for entry in alignments.aligned.values():
        starts_ends = entry.times(info)
        durations += list((starts_ends[:, 1] - starts_ends[:, 0]) * shift)
        busy = np.zeros(entry.frames + 2, dtype=bool)
        for run in entry.runs(info):
            busy[1 + int(run.start) : 1 + int(np.ceil(run.end))] = True
        inside = busy[1:-1]
        edges = np.diff(np.concatenate([[True], inside, [True]]).astype(int))
        ends, begins = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        blanks += list((ends - begins) * shift)
        labelled, total = labelled + int(inside.sum()), total + entry.frames
        scores.append(entry.score)
        shares.append(np.exp(min(0.0, entry.score - entry.full_sum)))
    if not total:
        raise FormatError("there is no aligned utterance to compare")
    return Peaks(
        labelled / total,
        _mean(durations),
        _mean(blanks),
        float(np.sum(scores) / total),
        _mean(shares),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def label_starts(entry: Aligned, info: AlignmentInfo) -> np.ndarray:
    """Seconds [L]."""
    return entry.times(info)[:, 0] * info.frame_shift_s


def matched_starts(
    first: Aligned, second: Aligned, infos: Sequence[AlignmentInfo], labels: bool
) -> np.ndarray:
    """[n, 2] starts in seconds of what both have: labels, or words of the same text."""
    if labels:
        pair = [label_starts(x, info) for x, info in zip((first, second), infos)]
        return np.stack(pair, axis=1)
    words = [words_of_utterance(x, info) for x, info in zip((first, second), infos)]
    return np.array(
        [(words[0][i].start_s, words[1][j].start_s) for i, j in matches(*words)]
    ).reshape(-1, 2)


def matches(left: Sequence, right: Sequence) -> List[Tuple[int, int]]:
    """Pairs of places of equal words (``text``) in two sequences, in order."""
    texts = [[word.text.lower() for word in words] for words in (left, right)]
    blocks = difflib.SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks()
    return [(b.a + n, b.b + n) for b in blocks for n in range(b.size)]


def same_labels(first: AlignmentSet, second: AlignmentSet) -> bool:
    """Whether both have the same label texts in all common utterances."""
    for key in first.aligned.keys() & second.aligned.keys():
        texts = [
            [s.info.tokens[label] for label in s.aligned[key].labels.tolist()]
            for s in (first, second)
        ]
        if texts[0] != texts[1]:
            return False
    return True


def starts_of(first: AlignmentSet, second: AlignmentSet) -> Dict[str, np.ndarray]:
    """Matched starts [n, 2] in seconds by utterance."""
    labels = same_labels(first, second)
    infos = first.info, second.info
    return {
        key: matched_starts(entry, second.aligned[key], infos, labels)
        for key, entry in first.aligned.items()
        if key in second.aligned
    }


def compare(first: AlignmentSet, second: AlignmentSet) -> Comparison:
    """All figures.

    Raises:
        FormatError: They have no utterance, or no label or word, in common.
    """
    starts = starts_of(first, second)
    pairs = np.concatenate([np.zeros((0, 2)), *starts.values()])
    if not len(pairs):
        raise FormatError("the two alignments have no label or word in common")
    shift = pairs[:, 1] - pairs[:, 0]
    size = np.abs(shift)
    return Comparison(
        utterances=len(starts),
        only_first=len(first.aligned) - len(starts),
        only_second=len(second.aligned) - len(starts),
        frame_agreement=_agreement(first, second, starts),
        unit="labels" if same_labels(first, second) else "words",
        compared=len(pairs),
        mean_shift_s=float(shift.mean()),
        mean_abs_shift_s=float(size.mean()),
        median_abs_shift_s=float(np.median(size)),
        p95_abs_shift_s=float(np.percentile(size, 95)),
        near=float((size <= NEAR_S + 1e-9).mean()),
        peaks=(peaks_of(first), peaks_of(second)),
    )


def _agreement(first: AlignmentSet, second: AlignmentSet, keys) -> Optional[float]:
    infos = first.info, second.info
    if infos[0].frame_shift_s != infos[1].frame_shift_s:
        return None
    if infos[0].tokens != infos[1].tokens:
        return None
    equal, total = 0, 0
    for key in keys:
        left, right = first.aligned[key].symbols, second.aligned[key].symbols
        if len(left) != len(right):
            return None
        equal, total = equal + int((left == right).sum()), total + len(left)
    return equal / total if total else None
