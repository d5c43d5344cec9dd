"""Estimation against the paper's formula by brute force, and by hand."""

import itertools
import math
import random

import numpy as np
import pytest

from espnet_ext.errors import FormatError
from espnet_ext.lm.kneser_ney import FALLBACK, discounts_of, estimate, vocabulary
from tests.lm.formula import Formula

LETTERS = "a b c d e f g".split()


def text(seed, sentences=120):
    """Sentences that repeat themselves, so that counts 1 to 4 occur; 'g' never does."""
    rng = random.Random(seed)
    made = []
    for _ in range(sentences):
        word, sentence = rng.choice("abc"), []
        for _ in range(rng.randrange(0, 7)):
            sentence.append(word)
            follow = LETTERS[:6][LETTERS.index(word) :] + ["a"]
            word = rng.choices(follow, [2.0**-i for i in range(len(follow))])[0]
        made.append(sentence)
    return made


def model_of(sentences, order, tokens=LETTERS):
    words = vocabulary(tokens)
    ids = [[words.index(word) for word in sentence] for sentence in sentences]
    return estimate(ids, words, order)


def state_of(model, context):
    state = model.start() if context[:1] == ("<s>",) else 0
    for word in context[1:] if context[:1] == ("<s>",) else context:
        state = model.step(state, model.index[word])[1]
    return state


def contexts(length):
    """All contexts up to a length, at the sentence begin and inside."""
    for n in range(length + 1):
        for words in itertools.product(LETTERS, repeat=n):
            yield words
            yield ("<s>", *words)


def paper_discounts(n1, n2, n3, n4):
    """Equation 26; the fallback is documented for what it does not cover."""
    if 0 in (n1, n2, n3, n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    made = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return made if all(0 < d <= j + 1 for j, d in enumerate(made)) else FALLBACK


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_formula_for_seen_and_unseen_contexts(order):
    sentences = text(order)
    model, discounts = model_of(sentences, order)
    predicted = [word for word in model.words if word != "<s>"]
    oracle = Formula(sentences, predicted, order, paper_discounts)
    assert [d.values for d in discounts] == [
        pytest.approx(oracle.discount[n]) for n in range(1, order + 1)
    ]
    if order > 1:
        assert not all(d.fallback for d in discounts), "the text is too small"
    checked = random.Random(1).sample(list(contexts(3)), 60)
    for context in [(), ("<s>",), *checked]:
        scores = model.log_probs(state_of(model, context))
        for word in predicted:
            found = math.exp(scores[model.index[word]])
            assert found == pytest.approx(oracle.p(word, context), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("sentences", [1, 2, 10, 300])
def test_probabilities_of_every_context_sum_to_one(order, sentences):
    model, _ = model_of(text(7, sentences), order)
    for context in contexts(2):
        probabilities = np.exp(model.log_probs(state_of(model, context)))
        assert probabilities[model.bos] < 1e-90
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
        assert np.delete(probabilities, model.bos).min() > 0  # <unk> and 'g' too


def test_bigrams_of_a_tiny_text_by_hand():
    """Text 'a b' / 'a'. All n4 are 0, so D = 0.5, 1, 1.5 throughout.

    Words seen before: a 1 (<s>), b 1 (a), </s> 2 (a, b); sum 4, discounts 0.5 0.5 1.
    Five words can be predicted (a, b, c, </s>, <unk>), so g() = 2 / 4 and each gets
    0.5 / 5 = 0.1: p(a) = 0.5 / 4 + 0.1 = 0.225 = p(b), p(</s>) = 1 / 4 + 0.1 = 0.35,
    p(c) = p(<unk>) = 0.1. After a (seen twice): b 1, </s> 1, g = 1 / 2:
    p(b | a) = 0.5 / 2 + 0.5 * 0.225 = 0.3625. After <s>: a twice, g = 1 / 2:
    p(a | <s>) = (2 - 1) / 2 + 0.5 * 0.225 = 0.6125. After b: </s> once, g = 1 / 2.
    """
    model, discounts = model_of([["a", "b"], ["a"]], 2, tokens=["a", "b", "c"])
    assert all(d.fallback for d in discounts)
    expected = {
        ((), "a"): 0.225,
        ((), "b"): 0.225,
        ((), "c"): 0.1,
        ((), "<unk>"): 0.1,
        ((), "</s>"): 0.35,
        (("a",), "b"): 0.3625,
        (("a",), "</s>"): 0.25 + 0.5 * 0.35,
        (("a",), "a"): 0.5 * 0.225,
        (("<s>",), "a"): 0.6125,
        (("<s>",), "c"): 0.05,
        (("b",), "</s>"): 0.5 + 0.5 * 0.35,
        (("c",), "b"): 0.225,
    }
    for (context, word), value in expected.items():
        score, _ = model.step(state_of(model, context), model.index[word])
        assert math.exp(score) == pytest.approx(value), (context, word)


@pytest.mark.parametrize(
    "numbers, fallback",
    [
        ((10, 5, 3, 2), False),
        ((10, 5, 3, 0), True),
        ((10, 5, 0, 2), True),
        ((10, 0, 3, 2), True),
        ((0, 5, 3, 2), True),
        ((10, 5, 40, 2), True),  # D2 would be negative
    ],
)
def test_numbers_that_give_no_discounts_take_the_fixed_ones(numbers, fallback):
    counts = np.repeat([1, 2, 3, 4, 9], [*numbers, 7])
    chosen = discounts_of(counts)
    assert chosen.fallback == fallback
    if fallback:
        assert chosen.values == FALLBACK
    else:
        # Y = 10 / 20
        assert chosen.values == pytest.approx((0.5, 2 - 1.5 * 3 / 5, 3 - 2 * 2 / 3))


def test_a_text_without_sentences_is_refused():
    with pytest.raises(FormatError, match="no sentence"):
        model_of([], 2)


def test_a_longer_context_predicts_text_of_its_kind_better():
    train, dev = text(1, 400), text(2, 60)
    values = [model_of(train, n)[0].perplexity(dev).value for n in (1, 2)]
    assert values[1] < 0.8 * values[0]
