import itertools
import random

import pytest

from espnet_ext.analysis.align import align, align_words, same_word
from espnet_ext.analysis.network import make_word, parse_transcript
from tests.analysis.test_network import paths


def cheapest(ref, hyp):
    """Least cost by trying all ways to pair words up in order."""
    best = 3 * (len(ref) + len(hyp))
    for count in range(1, min(len(ref), len(hyp)) + 1):
        for a in itertools.combinations(range(len(ref)), count):
            for b in itertools.combinations(range(len(hyp)), count):
                cost = sum(4 * (ref[i] != hyp[j]) for i, j in zip(a, b))
                cost += 3 * (len(ref) + len(hyp) - 2 * count)
                best = min(best, cost)
    return best


def cost_of(alignment):
    return 4 * alignment.count("S") + 3 * (alignment.count("D") + alignment.count("I"))


def test_an_alignment_costs_as_little_as_any_pairing():
    rng = random.Random(1)
    for _ in range(150):
        ref, hyp = (rng.choices("abc", k=rng.randrange(6)) for _ in range(2))
        alignment = align_words(ref, hyp)
        assert cost_of(alignment) == cheapest(ref, hyp)
        assert [pair.ref for pair in alignment.pairs if pair.ref] == ref
        assert [pair.hyp for pair in alignment.pairs if pair.hyp] == hyp


def test_alternatives_cost_as_little_as_their_best_path():
    rng = random.Random(2)
    texts = ["a { b / c d } a", "{ a a / b } { c / a b }", "b { a / { b / c } a }"]
    for _ in range(60):
        reference = parse_transcript(rng.choice(texts))
        hyp = rng.choices("abc", k=rng.randrange(6))
        best = min(cheapest(list(path), hyp) for path in paths(reference))
        assert cost_of(align(reference, parse_transcript(" ".join(hyp)))) == best


def test_silence_is_neither_counted_nor_shown():
    alignment = align(parse_transcript("{ um / @ } yes"), parse_transcript("yes"))
    assert (alignment.words, alignment.errors, len(alignment.pairs)) == (1, 0, 1)


def test_an_optional_word_counts_as_correct_when_missing():
    reference = parse_transcript("he (uh) is", optional=True)
    assert align(reference, parse_transcript("he is")).words == 3
    assert align(reference, parse_transcript("he is")).errors == 0
    assert align(reference, parse_transcript("he uh is")).errors == 0
    assert align(reference, parse_transcript("he ah is")).count("S") == 1


@pytest.mark.parametrize(
    "ref, hyp, same",
    [
        ("th-", "the", True),
        ("th-", "at", False),
        ("-out", "about", True),
        ("-out", "ut", False),
        ("the", "th-", True),
        ("-", "x", False),
    ],
)
def test_a_fragment_matches_the_words_it_is_part_of(ref, hyp, same):
    words = [make_word(word, fragments=True) for word in (ref, hyp)]
    assert same_word(*words) is same
    network = parse_transcript(ref, fragments=True)
    other = parse_transcript(hyp, fragments=True)
    assert (align(network, other).errors == 0) is same


def test_without_the_option_a_fragment_is_an_ordinary_word():
    assert align(parse_transcript("th-"), parse_transcript("the")).errors == 1


def test_empty_sides_give_only_deletions_or_insertions():
    assert [p.op for p in align_words(["a", "b"], []).pairs] == ["D", "D"]
    assert [p.op for p in align_words([], ["a"]).pairs] == ["I"]
    assert align_words([], []).pairs == []
