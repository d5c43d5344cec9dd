"""The search over words against enumeration of all word sequences and alignments."""

import pytest
import torch

from espnet_ext.asr.search.ctc import FramewiseDecoder
from espnet_ext.asr.search.lexical import LexicalSearch
from espnet_ext.asr.search.recombination import merge_equal
from espnet_ext.asr.search.word_lm import LOOK_AHEADS
from tests.asr.search.word_enumeration import (
    PRONUNCIATIONS,
    VOCABULARY,
    WORDS,
    bigram,
    ctc_outputs,
    ctc_table,
    exact_scores,
    transducer,
    transducer_table,
    tree,
    word_lm,
    word_sequences,
)

FULL = 3000
TOLERANCE = 2e-4  # the decoder works in single precision


def alone(search, frames_TR):
    lengths = torch.tensor([len(frames_TR)])
    return search(frames_TR.unsqueeze(0), lengths)[0]


def ctc_search(lm="bigram", beam=FULL, **options):
    decoder = FramewiseDecoder(VOCABULARY)
    return LexicalSearch(decoder, tree(), word_lm(lm), beam, label_loop=True, **options)


def assert_equal(entries, expected, complete=True):
    found = {tuple(entry.words): entry.score for entry in entries}
    assert len(found) == len(entries)
    assert not complete or found.keys() == expected.keys()
    for words, score in found.items():
        assert score == pytest.approx(expected[words], abs=TOLERANCE), words
    scores = [entry.score for entry in entries]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(max(expected.values()), abs=TOLERANCE)


@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
@pytest.mark.parametrize("rule", ["sum", "max"])
def test_a_transducers_word_scores_are_those_of_enumeration(rule, look_ahead):
    decoder, am_TR = transducer(seed=1, frames=4)
    search = LexicalSearch(
        decoder,
        tree(),
        word_lm("bigram"),
        FULL,
        lm_weight=0.7,
        word_penalty=-0.4,
        recombination=rule,
        look_ahead=look_ahead,
    )
    table = transducer_table(decoder, am_TR)
    expected = exact_scores(table, 4, rule, lm=bigram(), weight=0.7, penalty=-0.4)
    assert_equal(alone(search, am_TR), expected)


@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
@pytest.mark.parametrize("rule", ["sum", "max"])
def test_a_ctc_models_word_scores_are_those_of_enumeration(rule, look_ahead):
    log_probs = ctc_outputs(seed=2, frames=5)[0]
    search = ctc_search(recombination=rule, look_ahead=look_ahead)
    expected = exact_scores(ctc_table(log_probs), 5, rule, "ctc", bigram())
    assert_equal(alone(search, log_probs), expected)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_language_model_homophones_score_the_same(seed):
    log_probs = ctc_outputs(seed, frames=4)[0]
    entries = alone(ctc_search("none"), log_probs)
    assert_equal(entries, exact_scores(ctc_table(log_probs), 4, "sum", "ctc"))
    scores = {tuple(entry.words): entry.score for entry in entries}
    assert scores[("i", "see")] == scores[("eye", "see")]


def test_a_decoder_that_sees_one_label_merges_pronunciations_without_loss():
    decoder, am_TR = transducer(seed=3, frames=4, stateless=True)
    assert decoder.label_context == 1
    search = LexicalSearch(decoder, tree(), word_lm("bigram"), FULL)
    table = transducer_table(decoder, am_TR)
    assert_equal(alone(search, am_TR), exact_scores(table, 4, "sum", lm=bigram()))


@pytest.mark.parametrize("seed", range(4))
def test_recombination_by_state_still_finds_the_best_path(seed):
    log_probs = ctc_outputs(seed, frames=5)[0]
    search = ctc_search(recombination="max", recombine_by="lm_state", beam=200)
    expected = exact_scores(ctc_table(log_probs), 5, "max", "ctc", bigram())
    best = alone(search, log_probs)[0]
    assert tuple(best.words) == max(expected, key=expected.get)
    assert best.score == pytest.approx(max(expected.values()), abs=TOLERANCE)


def test_the_sentence_end_can_be_left_out():
    log_probs = ctc_outputs(seed=4, frames=4)[0]
    table = ctc_table(log_probs)
    expected = exact_scores(table, 4, "sum", "ctc", bigram(), end=False)
    assert_equal(alone(ctc_search(sentence_end=False), log_probs), expected)


def test_language_models_of_labels_are_added_to_those_of_words():
    class Favourite:
        """p(2) = e^-1, others e^-3, whatever came before."""

        def start(self):
            return torch.full((VOCABULARY,), -3.0).index_fill(0, torch.tensor(2), -1), 0

        def step(self, labels, states):
            return torch.stack([self.start()[0]] * len(labels)), states

    log_probs = ctc_outputs(seed=6, frames=4)[0]
    search = ctc_search(recombination="max", scorers=[(Favourite(), 0.5)])
    plain = exact_scores(ctc_table(log_probs), 4, "max", "ctc", bigram())
    for entry in alone(search, log_probs):
        added = sum(0.5 * (-1 if label == 2 else -3) for label in entry.labels)
        if entry.words.count("see") == 0:  # the label model may change the variant
            assert entry.score == pytest.approx(
                plain[tuple(entry.words)] + added, abs=TOLERANCE
            )


@pytest.mark.parametrize("lm", ["bigram", "none"])
@pytest.mark.parametrize("beam", [3, 12])
def test_a_batch_of_any_size_gives_the_bits_of_single_utterances(lm, beam):
    log_probs = ctc_outputs(seed=5, frames=9, batch=5)
    lengths = torch.tensor([9, 4, 0, 7, 1])
    for rule in ("sum", "max"):
        search = ctc_search(lm, beam, recombination=rule)
        batch = search(log_probs, lengths)
        for row, length in enumerate(lengths.tolist()):
            assert search(
                log_probs[row : row + 1, :length], lengths[row : row + 1]
            ) == [batch[row]]


def test_a_batch_of_transducer_utterances_gives_the_bits_of_single_ones():
    decoder, _ = transducer(seed=1, frames=1)
    generator = torch.Generator().manual_seed(9)
    frames = torch.randn(3, 8, 6, generator=generator)
    lengths = torch.tensor([5, 8, 3])
    am = decoder.joint_network.project_frames(frames, lengths).detach()
    search = LexicalSearch(decoder, tree(), word_lm("bigram"), 6)
    batch = search(am, lengths)
    for row, length in enumerate(lengths.tolist()):
        single = am[row : row + 1, :length], lengths[row : row + 1]
        assert search(*single) == [batch[row]]


def test_labels_symbols_and_word_ends_tell_the_same_story():
    for search, frames in (
        (ctc_search(beam=8), ctc_outputs(seed=7, frames=8)[0]),
        (
            LexicalSearch(transducer(2, 1)[0], tree(), word_lm("none"), 8),
            transducer(2, 8)[1],
        ),
    ):
        for entry in alone(search, frames):
            assert len(entry.symbols) == len(frames)
            assert [symbol for symbol in entry.symbols if symbol] == entry.labels
            begins = [0, *entry.ends]
            spoken = [entry.labels[a:b] for a, b in zip(begins, entry.ends)]
            for word, labels in zip(entry.words, spoken, strict=True):
                assert tuple(labels) in PRONUNCIATIONS[word]
            assert entry.ends[-1:] == [len(entry.labels)][: len(entry.ends)]


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_still_ends_at_a_word_end(seed):
    log_probs = ctc_outputs(seed, frames=9)[0]
    for beam in (2, 4):
        entries = alone(ctc_search(beam=beam), log_probs)
        assert all(entry.complete for entry in entries)


def test_an_unfinished_word_is_left_out_and_said():
    """The frames say 'eerie' without its last label; a beam of one follows them."""
    log_probs = torch.full((2, VOCABULARY), -20.0)
    log_probs[[0, 1], [3, 1]] = -0.01
    search = ctc_search("bigram", beam=1, look_ahead="none")
    (entry,) = alone(search, log_probs)
    assert (entry.words, entry.labels, entry.symbols) == ([], [], [0, 0])
    assert not entry.complete and entry.ends == []


def test_the_table_of_scores_keeps_its_size_and_the_result():
    log_probs = ctc_outputs(seed=8, frames=9)
    lengths = torch.tensor([9])
    search, small = ctc_search(beam=6), ctc_search(beam=6)
    small.arc_scores.capacity = 1
    expected = search(log_probs, lengths)
    for _ in range(2):
        assert small(log_probs, lengths) == expected
    assert len(small.arc_scores.row_of) <= 6 + 6


def test_merging_adds_what_has_the_same_key_and_keeps_the_best_place():
    keys = torch.tensor([[5, 7, 5, 9, 7]])
    scores = torch.tensor([[0.2, 0.5, 0.3, 0.0, 0.0]], dtype=torch.float64).log()
    merged = merge_equal(keys, scores, "sum").exp()
    assert merged.tolist()[0] == pytest.approx([0.0, 0.5, 0.5, 0.0, 0.0])
    best = merge_equal(keys, scores, "max").exp()
    assert best.tolist()[0] == pytest.approx([0.0, 0.5, 0.3, 0.0, 0.0])


def test_the_oracle_knows_all_sequences():
    assert len(set(word_sequences(2))) == len(list(word_sequences(2)))
    assert {(), ("i", "eye"), ("ice",), ("aha",)} <= set(word_sequences(2))
    assert ("eerie",) not in set(word_sequences(2)) and len(WORDS) == 6


def test_wrong_options_are_refused():
    for options in (
        {"recombination": "none"},
        {"recombine_by": "text"},
        {"look_ahead": "bigram"},
        {"beam": 0},
    ):
        with pytest.raises(ValueError, match=str(list(options)[0][:4])):
            ctc_search(**options)
