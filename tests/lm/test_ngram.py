"""Scores of sentences and perplexity."""

import math

import pytest

from espnet_ext.lm.ngram import Perplexity
from tests.lm.test_kneser_ney import contexts, model_of, state_of, text


def test_a_step_gives_the_score_that_the_table_of_all_words_has():
    model, _ = model_of(text(3), 4)
    for context in contexts(2):
        state = state_of(model, context)
        table = model.log_probs(state)
        for word in range(len(model.words)):
            assert model.step(state, word)[0] == pytest.approx(table[word], abs=1e-12)


def test_only_as_many_words_as_the_order_allows_matter():
    model, _ = model_of(text(3), 3)
    states = {state_of(model, (*start, "a", "b")) for start in contexts(2)}
    assert len(states) == 1


def test_the_score_of_a_sentence_has_its_end_and_follows_the_chain_rule():
    model, _ = model_of(text(4), 3)
    ids = [model.index[word] for word in ("a", "b", "d")]
    scores = model.score(ids)
    expected, history = [], ["<s>"]
    for word in ("a", "b", "d", "</s>"):
        table = model.log_probs(state_of(model, tuple(history[-2:])))
        expected.append(table[model.index[word]])
        history.append(word)
    assert scores == pytest.approx(expected)


def test_perplexity_counts_ends_and_reports_unknown_words():
    model, _ = model_of(text(5), 2)
    result = model.perplexity([["a", "x", "b"], []])
    unknown = model.index["<unk>"]
    ids = [model.index["a"], unknown, model.index["b"]]
    scores = model.score(ids)
    total = sum(scores) + sum(model.score([]))
    assert result[:3] == (2, 3, 1)
    assert result.value == pytest.approx(math.exp(-total / 5))
    assert result.value_known == pytest.approx(math.exp(-(total - scores[1]) / 4))


def test_a_uniform_model_has_the_perplexity_of_its_size():
    n = 8
    result = Perplexity(2, 10, 0, 12 * math.log(1 / n), 12 * math.log(1 / n))
    assert result.value == pytest.approx(n)
