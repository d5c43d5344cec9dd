"""Batches: limits of reference/training.md 1 and a slow oracle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.errors import OptionError
from espnet_ext.train.batching import Limits, for_all_ranks, in_batches


def slow_batches(frames, labels, max_frames, max_sequences):
    """Try every batch as a whole before an item is added."""
    batches = []
    for item in range(len(frames)):
        wider = (batches[-1] if batches else []) + [item]
        padded = len(wider) * max(frames[i] for i in wider)
        padded_labels = len(wider) * max(labels[i] for i in wider)
        fits = padded <= max_frames and padded_labels <= max_frames
        if batches and fits and len(wider) <= max_sequences:
            batches[-1] = wider
        else:
            batches.append([item])
    return batches


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), max_size=40),
    st.integers(20, 120),
    st.integers(1, 6),
)
def test_batches_equal_a_slow_implementation(lengths, max_frames, max_sequences):
    frames, labels = [f for f, _ in lengths], [n for _, n in lengths]
    limits = Limits(max_frames, max_sequences)
    batches = in_batches(range(len(frames)), frames, labels, limits)
    assert batches == slow_batches(frames, labels, max_frames, max_sequences)
    assert [item for batch in batches for item in batch] == list(range(len(frames)))


def test_ten_thousand_frames_are_a_hundred_seconds_with_padding():
    assert [
        len(b) for b in in_batches(range(45), [500] * 45, None, Limits(10_000))
    ] == [*(20, 20, 5)]
    # 20 sequences of 501 frames would be 10,020
    assert len(in_batches(range(20), [501] * 20, None, Limits(10_000))[0]) == 19


def test_at_most_two_hundred_sequences():
    batches = in_batches(range(450), [20] * 450, None, Limits(10_000, 200))
    assert [len(batch) for batch in batches] == [200, 200, 50]


def test_one_longer_segment_is_accepted_alone():
    batches = in_batches("abc", [10, 3000, 10], None, Limits(1000))
    assert batches == [["a"], ["b"], ["c"]]


def test_padding_counts_by_the_longest_also_when_it_comes_first():
    assert in_batches("abcd", [50, 10, 10, 10], None, Limits(100)) == [
        *(["a", "b"], ["c", "d"])
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_every_rank_gets_something_and_nothing_is_lost(sizes, ranks):
    items = iter(range(sum(sizes)))
    batches = [[next(items) for _ in range(size)] for size in sizes]
    if sum(sizes) < ranks:
        with pytest.raises(OptionError, match="processes"):
            for_all_ranks(batches, ranks)
        return
    joined = for_all_ranks(batches, ranks)
    assert all(len(batch) >= ranks for batch in joined)
    assert [i for batch in joined for i in batch] == list(range(sum(sizes)))
    if min(sizes) >= ranks:
        assert joined == batches
