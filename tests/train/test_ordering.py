"""Order of the utterances: numbers of reference/training.md 1 and a slow oracle."""

import numpy
import pytest

from espnet_ext.train.ordering import (
    full_epoch,
    generator_of,
    partition,
    shuffled_sorted_in_chunks,
)

SEGMENTS = 227_047  # of the original's training set


def durations(count, seed=0):
    """Mean 4.47 s and deviation 3.5 s as in the original, in samples at 8 kHz."""
    random = numpy.random.RandomState(seed)
    shape = (447 / 350) ** 2
    return (random.gamma(shape, 447 / shape, count).clip(15, 2103) * 80).astype(int)


def slow_order(lengths, chunk, shuffled):
    """Chunks of a shuffled list, each sorted by insertion."""
    result = []
    for begin in range(0, len(shuffled), chunk):
        placed = []
        for number in shuffled[begin : begin + chunk]:
            behind = [i for i, p in enumerate(placed) if lengths[p] > lengths[number]]
            placed.insert(behind[0] if behind else len(placed), number)
        result += placed
    return result


@pytest.mark.parametrize(
    "count, chunk", [(1, 6), (17, 5), (60, 12), (60, 60), (13, 99)]
)
def test_the_order_equals_a_slow_implementation(count, chunk):
    lengths = numpy.random.RandomState(count).randint(1, 8, count)  # many are equal
    shuffled = generator_of(7, "data", 3).permutation(count).tolist()
    order = shuffled_sorted_in_chunks(lengths, chunk, generator_of(7, "data", 3))
    assert order.tolist() == slow_order(lengths, chunk, shuffled)


def test_six_sub_epochs_hold_every_segment_once_and_are_saw_teeth():
    lengths = durations(SEGMENTS)
    parts = []
    for epoch in range(7, 13):
        random = generator_of(1, "data", full_epoch(epoch, 6))
        order = shuffled_sorted_in_chunks(lengths, 6000, random)
        parts.append(partition(order, epoch, 6))
    assert [len(part) for part in parts] == [37_842] + [37_841] * 5
    assert numpy.array_equal(numpy.sort(numpy.concatenate(parts)), range(SEGMENTS))
    for part in parts:
        # a run ends where a chunk of 6000 / 6 does: 37 whole ones and the rest
        falls = numpy.flatnonzero(numpy.diff(lengths[part]) < 0) + 1
        assert falls.tolist() == list(range(1000, 37_001, 1000))


def test_the_order_changes_with_the_full_epoch_and_the_seed_alone():
    lengths = durations(100)

    def order(seed, epoch):
        random = generator_of(seed, "data", full_epoch(epoch, 6))
        return shuffled_sorted_in_chunks(lengths, 30, random).tolist()

    assert order(1, 1) == order(1, 6)
    assert order(1, 7) != order(1, 6)
    assert order(2, 1) != order(1, 1)


def test_the_random_numbers_are_those_of_every_numpy():
    """RandomState over MT19937 is frozen by numpy's compatibility policy (NEP 19)."""
    random = generator_of(1, "data", 0)
    assert isinstance(random, numpy.random.RandomState)
    assert random.get_state()[0] == "MT19937"


@pytest.mark.parametrize("parts", [1, 2, 6, 20])
def test_any_number_of_sub_epochs_divides_an_epoch(parts):
    order = numpy.arange(41)
    dealt = [partition(order, epoch, parts) for epoch in range(1, parts + 1)]
    assert sorted(numpy.concatenate(dealt).tolist()) == list(range(41))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert [full_epoch(e, parts) for e in (1, parts, parts + 1)] == [0, 0, 1]
