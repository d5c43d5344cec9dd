"""Cuts of words: all of them by enumeration, the default, and the probabilities."""

import itertools
from collections import Counter

import numpy
import pytest

from espnet_ext.train.word_pieces import WordPieces, words_of

TOKENS = "<blank> <unk> a b c ab bc abc a@@ b@@ ab@@ bc@@ <sos/eos>".split()
PIECES = WordPieces(TOKENS, ("<blank>", "<unk>", "<sos/eos>"))
PREFIXED = WordPieces(["\u2581a", "\u2581ab", "b", "bc", "c", "\u2581", "a"])


def all_cuts(word):
    """Every cut whose pieces are tokens, by trying all places to cut."""
    found = []
    for count in range(len(word)):
        for places in itertools.combinations(range(1, len(word)), count):
            ends = [0, *places, len(word)]
            pieces = [word[b:e] for b, e in zip(ends, ends[1:])]
            tokens = [p + "@@" for p in pieces[:-1]] + pieces[-1:]
            if all(token in TOKENS for token in tokens):
                found.append(tuple(tokens))
    return found


@pytest.mark.parametrize(
    "word", ["a", "abc", "aabbc", "abcabc", "cab", "ca", "x", "abx"]
)
def test_the_cuts_that_occur_are_exactly_those_that_exist(word):
    random = numpy.random.RandomState(0)
    drawn = {
        tuple(PIECES.cut(word, lambda: random.rand() < 0.5) or ()) for _ in range(600)
    }
    assert drawn == set(all_cuts(word)) or drawn == {()} and not all_cuts(word)


@pytest.mark.parametrize("word", ["abc", "aabbc", "abcabc"])
def test_without_breadth_the_longest_piece_comes_first_with_it_the_shortest(word):
    cuts = sorted(all_cuts(word), key=lambda cut: [-len(t.strip("@")) for t in cut])
    assert PIECES.cut(word, lambda: False) == list(cuts[0])
    assert PIECES.cut(word, lambda: True) == list(cuts[-1])


def test_the_probability_of_each_cut_follows_from_independent_choices():
    """At "ab" a choice after a and one after ab: with 0.1, new piece or go on.

    abc whole needs both "go on"; ab@@ c only the second choice; the first choice leads
    to a@@ bc or, with the second, a@@ b@@ c.
    """
    random = numpy.random.RandomState(1)
    draws = 20_000
    counts = Counter(
        " ".join(PIECES.cut("abc", lambda: random.rand() < 0.1)) for _ in range(draws)
    )
    expected = {"abc": 0.81, "ab@@ c": 0.09, "a@@ bc": 0.09, "a@@ b@@ c": 0.01}
    assert counts.keys() == expected.keys()
    for cut, probability in expected.items():
        deviation = (probability * (1 - probability) / draws) ** 0.5
        assert abs(counts[cut] / draws - probability) < 5 * deviation, cut


def test_pieces_of_sentencepiece_begin_words_with_their_mark():
    assert PREFIXED.cut("abc", lambda: False) == ["\u2581ab", "c"]
    assert PREFIXED.cut("abc", lambda: True) == ["\u2581", "a", "b", "c"]
    assert PREFIXED.cut("x", lambda: False) is None


def test_words_are_found_in_cut_texts():
    text = "the h@@ ou@@ se @@ [noise] end@@".split()
    assert [word for word, _ in words_of(text)] == "the house @@ [noise] end".split()
    assert [t for _, pieces in words_of(text) for t in pieces] == text
