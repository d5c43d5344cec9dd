"""Scores of a prefix tree's arcs, and word n-grams in batches, against plain loops."""

import numpy as np
import pytest
import torch

from espnet_ext.asr.search.prefix_tree import NO_WORD, ROOT, PrefixTree
from espnet_ext.asr.search.word_lm import ArcScores, NgramWordLm, known_words
from espnet_ext.errors import OptionError
from tests.asr.search.word_enumeration import PRONUNCIATIONS, WORDS, bigram, tree


def paths(tree, node=ROOT, labels=(), arcs=()):
    """(word, labels, arcs) of every way from the root to a word end."""
    for arc in range(tree.first_N1[node], tree.first_N1[node + 1]):
        longer = (*labels, int(tree.label_A[arc])), (*arcs, arc)
        if tree.word_A[arc] != NO_WORD:
            assert tree.to_A[arc] == ROOT
            yield tree.words[tree.word_A[arc]], *longer
        else:
            yield from paths(tree, int(tree.to_A[arc]), *longer)


def test_the_tree_spells_every_pronunciation_once():
    found = sorted((word, labels) for word, labels, _ in paths(tree()))
    pairs = [(word, labels) for word, many in PRONUNCIATIONS.items() for labels in many]
    assert found == sorted(pairs)


def test_beginnings_are_shared():
    shared = PrefixTree(["a", "b"], [(0, (1, 2, 3)), (1, (1, 2, 4)), (1, (1, 2, 4))])
    assert len(shared.label_A) == 4 and shared.most_arcs == 2


def test_look_ahead_is_the_best_word_that_can_follow():
    rng = np.random.default_rng(0)
    scores_W = rng.normal(size=len(WORDS))
    made = tree().arc_scores(scores_W)
    behind = {}
    for word, _, arcs in paths(tree()):
        for arc in arcs:
            behind.setdefault(arc, []).append(scores_W[WORDS.index(word)])
    assert made.tolist() == [max(behind[arc]) for arc in range(len(made))]


def test_look_ahead_of_a_large_random_lexicon_is_the_best_word_that_can_follow():
    rng = np.random.default_rng(1)
    pairs = [(n, tuple(rng.integers(1, 4, rng.integers(1, 7)))) for n in range(300)]
    large = PrefixTree([str(n) for n in range(300)], pairs)
    scores_W = rng.normal(size=300)
    made, best = large.arc_scores(scores_W), {}
    for word, _, arcs in paths(large):
        for arc in arcs:
            best[arc] = max(best.get(arc, -np.inf), scores_W[int(word)])
    assert made.tolist() == [best[arc] for arc in range(len(made))]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_states_in_a_batch_are_those_of_single_steps(order):
    model = bigram(order)
    lm = NgramWordLm(model, WORDS)
    states, reached = [model.start()], {model.start()}
    while states:
        words_X = np.arange(len(WORDS))
        state = states.pop()
        after = lm.advance(np.full(len(WORDS), state), words_X)
        single = [model.step(state, int(lm.ids_W[word]))[1] for word in words_X]
        assert after.tolist() == single
        states += [s for s in set(single) - reached]
        reached.update(single)
    assert len(reached) >= order


@pytest.mark.parametrize("look_ahead", ["full", "unigram", "none"])
def test_word_ends_have_the_words_own_scores_and_other_arcs_the_look_ahead(look_ahead):
    model, made = bigram(), tree()
    lm = NgramWordLm(model, WORDS)
    table = ArcScores(made, lm, 0.5, -1.0, look_ahead)
    states = torch.tensor([[lm.start(), model.index["see"] + 1]])
    for state, row in zip(states[0].tolist(), table.rows(states)[0].tolist()):
        best = {
            "full": made.arc_scores(0.5 * lm.scores(state) - 1.0),
            "unigram": made.arc_scores(0.5 * lm.unigrams() - 1.0),
            "none": np.zeros(len(made.word_A)),
        }[look_ahead]
        for arc, word in enumerate(made.word_A.tolist()):
            expected = best[arc]
            if word != NO_WORD:
                score, _ = model.step(state, model.index[WORDS[word]])
                expected = 0.5 * score - 1.0
            assert float(table.table_UA[row, arc]) == pytest.approx(expected, abs=1e-5)


def test_words_that_the_language_model_lacks_are_left_out():
    assert known_words(bigram(), ["i", "zebra"], "lm.arpa") == ["i"]
    with pytest.raises(OptionError, match="lm.arpa: no word of the lexicon .I, SEE"):
        known_words(bigram(), ["I", "SEE"], "lm.arpa")


def test_a_phoneme_that_the_model_lacks_is_named_with_its_word():
    tokens = ["<blank>", "<unk>", "AH", "B#", "<sos/eos>"]
    made = PrefixTree.of_lexicon({"ab": [("AH", "B")]}, tokens)
    assert made.label_A.tolist() == [2, 3]
    with pytest.raises(OptionError, match="no phoneme 'ZH' of 'zhab' .ZH AH B"):
        PrefixTree.of_lexicon({"zhab": [("ZH", "AH", "B")]}, tokens)
    with pytest.raises(OptionError, match="the model has 'B' in other places"):
        PrefixTree.of_lexicon({"baa": [("B", "AH")]}, tokens)
    unmarked = PrefixTree.of_lexicon({"ab": [("AH", "B")]}, ["<blank>", "AH", "B", "S"])
    assert unmarked.label_A.tolist() == [1, 2]
