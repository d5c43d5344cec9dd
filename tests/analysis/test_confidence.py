import math
import random

import pytest

from espnet_ext.analysis.align import Alignment, Pair
from espnet_ext.analysis.confidence import bootstrap_interval, matched_pairs
from espnet_ext.analysis.scores import ScoredSegment


def system(rng, speakers, utterances, words, rate, spread=0.0):
    """Segments whose words are wrong with a rate that differs between speakers."""
    segments = []
    for speaker in range(speakers):
        own = min(max(rng.gauss(rate, spread), 0), 1)
        for utterance in range(utterances):
            pairs = [
                Pair("S" if rng.random() < own else "C", "a", "b") for _ in range(words)
            ]
            segments.append(
                ScoredSegment(f"{speaker}-{utterance}", f"s{speaker}", Alignment(pairs))
            )
    return segments


def test_the_interval_agrees_with_the_normal_approximation():
    """10 % of 4,000 independent words: 1.96 sqrt(0.1 * 0.9 / 4000) = 0.93 points."""
    segments = system(random.Random(1), 5, 800, 1, 0.1)
    interval = bootstrap_interval(segments)
    assert interval.unit == "utterance"
    assert (interval.high - interval.low) / 2 == pytest.approx(0.93, rel=0.1)


def test_about_95_of_100_intervals_hold_the_truth():
    rng = random.Random(2)
    held = 0
    for _ in range(100):
        segments = system(rng, 30, 4, 10, 0.2, spread=0.05)
        interval = bootstrap_interval(segments, replicates=300)
        held += interval.low <= 20 <= interval.high
    assert 86 <= held <= 100


def test_speakers_are_drawn_when_there_are_ten():
    few, many = (system(random.Random(3), n, 3, 5, 0.3) for n in (9, 10))
    assert bootstrap_interval(few).unit == "utterance"
    assert bootstrap_interval(many).unit == "speaker"


def test_differences_between_speakers_widen_the_interval():
    rng = random.Random(4)
    segments = system(rng, 20, 20, 5, 0.3, spread=0.2)
    alone = [
        ScoredSegment(s.id, "one", s.alignment) for s in segments
    ]  # speakers forgotten
    wide, narrow = bootstrap_interval(segments), bootstrap_interval(alone)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_seed_repeats_and_another_differs():
    segments = system(random.Random(5), 12, 4, 10, 0.2)
    assert bootstrap_interval(segments, seed=1) == bootstrap_interval(segments, seed=1)
    assert bootstrap_interval(segments, seed=1) != bootstrap_interval(segments, seed=2)


def test_nothing_to_draw_from_is_not_a_number():
    one = system(random.Random(6), 1, 1, 10, 0.2)
    assert math.isnan(bootstrap_interval(one).low)
    assert math.isnan(bootstrap_interval([]).low)


def test_equal_systems_rarely_differ_and_worse_ones_do():
    rng = random.Random(7)
    false_alarms = sum(
        matched_pairs(system(rng, 1, 60, 10, 0.2), system(rng, 1, 60, 10, 0.2)).p_value
        < 0.05
        for _ in range(100)
    )
    assert false_alarms <= 13  # 5 expected, binomial
    better, worse = system(rng, 1, 200, 10, 0.1), system(rng, 1, 200, 10, 0.2)
    result = matched_pairs(worse, better)
    assert result.p_value < 0.001 and result.difference > 0


def test_the_same_system_does_not_differ_from_itself():
    segments = system(random.Random(8), 2, 9, 4, 0.3)
    assert matched_pairs(segments, segments).p_value == 1.0
    with pytest.raises(ValueError):
        matched_pairs(segments, segments[1:])
