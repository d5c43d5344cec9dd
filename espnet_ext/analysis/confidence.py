"""How sure an error rate is: bootstrap intervals, and matched pairs of two systems.

Words of one speaker share his voice and his line, so whole speakers are drawn where
there are at least ten of them; with fewer, utterances are drawn and the interval is too
narrow for a claim about other speakers.

Ref: Bisani and Ney 2004, Bootstrap estimates for confidence intervals in ASR
performance evaluation; Gillick and Cox 1989 for the matched pairs test.
"""

import math
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.analysis.scores import ScoredSegment

MIN_SPEAKERS = 10
REPLICATES = 2000
CHUNK_ELEMENTS = 4_000_000  # bounds the memory of one chunk of draws


class Interval(NamedTuple):
    """A confidence interval of an error rate in percent.

    Args:
        low, high: Its ends; nan where there is nothing to draw from.
        unit: What was drawn, "speaker" or "utterance".
    """

    low: float
    high: float
    unit: str


def bootstrap_interval(
    segments: Sequence[ScoredSegment],
    *,
    seed: int = 1,
    level: float = 0.95,
    replicates: int = REPLICATES,
) -> Interval:
    """The percentile bootstrap interval of an error rate.

    Args:
        segments: The scored segments of the set.
        seed: Seed of the draws; the same seed gives the same interval.
        level: Probability to be covered.
        replicates: Number of draws.
    """
    by_speaker: Dict[str, List[Tuple[int, int]]] = {}
    for segment in segments:
        counts = segment.counts
        by_speaker.setdefault(segment.speaker, []).append((counts.errors, counts.words))
    if len(by_speaker) >= MIN_SPEAKERS:
        unit = "speaker"
        blocks = np.array([np.sum(group, axis=0) for group in by_speaker.values()])
    else:
        unit = "utterance"
        blocks = np.array([row for group in by_speaker.values() for row in group])
    if len(blocks) < 2 or blocks[:, 1].sum() == 0:
        return Interval(math.nan, math.nan, unit)
    rng = np.random.default_rng(seed)
    rates = []
    step = max(1, CHUNK_ELEMENTS // len(blocks))
    for start in range(0, replicates, step):
        draws = rng.integers(
            len(blocks), size=(min(step, replicates - start), len(blocks))
        )
        errors, words = blocks[draws].sum(axis=1).T
        rates.append(100.0 * errors / np.maximum(words, 1))
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(np.concatenate(rates), [tail, 100.0 - tail])
    return Interval(float(low), float(high), unit)


class MatchedPairs(NamedTuple):
    """A two-sided test that two systems make equally many errors.

    Args:
        difference: Errors of the first minus errors of the second, per segment.
        p_value: Probability of a difference at least this large by chance.
    """

    difference: float
    p_value: float


def matched_pairs(
    first: Sequence[ScoredSegment], second: Sequence[ScoredSegment]
) -> MatchedPairs:
    """Matched pairs test over segments of two systems on the same set.

    NIST's MAPSSWE cuts segments finer, at words both systems have right; over whole
    segments the test is the same but less sharp. Needs about 50 segments.

    Raises:
        ValueError: The segments are not the same ones.
    """
    if [s.id for s in first] != [s.id for s in second]:
        raise ValueError("the two systems were not scored on the same segments")
    differences = np.array(
        [a.counts.errors - b.counts.errors for a, b in zip(first, second)], float
    )
    if len(differences) < 2 or not differences.any():
        return MatchedPairs(0.0, 1.0)
    spread = differences.std(ddof=1) / math.sqrt(len(differences))
    mean = float(differences.mean())
    if spread == 0.0:
        return MatchedPairs(mean, 0.0)
    return MatchedPairs(mean, math.erfc(abs(mean) / spread / math.sqrt(2.0)))
