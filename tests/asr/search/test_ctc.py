"""CTC searches against enumeration of all paths."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.search.ctc import CtcPrefixSearch, FramewiseDecoder, ctc_greedy
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from tests.asr.loss.paths import collapsed
from tests.asr.search.test_label_scorer import lm_score, scorer

FRAMES, VOCABULARY = 5, 4
FULL = 400


def outputs(seed, batch=1, frames=FRAMES):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, frames, VOCABULARY, generator=generator) * 2
    return scores.log_softmax(2)


def exact(log_probs_TV, collapse):
    """Probability of every label sequence."""
    mass = {}
    for path in itertools.product(range(VOCABULARY), repeat=FRAMES):
        labels = collapsed(path, 0) if collapse else [k for k in path if k]
        p = math.exp(sum(float(log_probs_TV[t, k]) for t, k in enumerate(path)))
        mass[tuple(labels)] = mass.get(tuple(labels), 0.0) + p
    return mass


@pytest.mark.parametrize("seed", range(3))
def test_full_prefix_beam_gives_the_exact_probability_of_every_sequence(seed):
    log_probs = outputs(seed)
    entries = CtcPrefixSearch(FULL)(log_probs, torch.tensor([FRAMES]))[0]
    expected = exact(log_probs[0], True)
    assert len(entries) == len(expected)
    for entry in entries:
        assert entry.score == pytest.approx(math.log(expected[tuple(entry.labels)]))
    assert tuple(entries[0].labels) == max(expected, key=expected.get)


def test_torch_ctc_loss_agrees_with_the_score():
    log_probs = outputs(5)
    for entry in CtcPrefixSearch(6)(log_probs, torch.tensor([FRAMES]))[0][:1]:
        full = CtcPrefixSearch(FULL)(log_probs, torch.tensor([FRAMES]))[0]
        score = next(e.score for e in full if e.labels == entry.labels)
        nll = torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1).double(),
            torch.tensor([entry.labels]),
            (FRAMES,),
            (len(entry.labels),),
            reduction="sum",
        )
        assert score == pytest.approx(-float(nll))


def test_without_collapse_the_time_synchronous_search_is_exact():
    log_probs = outputs(1)
    search = TimeSyncSearch(FramewiseDecoder(VOCABULARY), FULL)
    entries = search(log_probs, torch.tensor([FRAMES]))[0]
    expected = exact(log_probs[0], False)
    assert len(entries) == len(expected)
    for entry in entries:
        p = expected[tuple(entry.labels)]
        assert entry.score == pytest.approx(math.log(p), abs=1e-5)


def test_the_original_search_finds_the_best_symbol_of_each_frame():
    log_probs = outputs(2, batch=3)
    lengths = torch.tensor([5, 2, 4])
    search = TimeSyncSearch(FramewiseDecoder(VOCABULARY), 12, recombination="none")
    greedy = ctc_greedy(log_probs, lengths, collapse=False)
    for beam, result in zip(search(log_probs, lengths), greedy):
        assert beam[0].labels == result.labels
        assert beam[0].score == pytest.approx(result.score, abs=1e-5)


def test_greedy_collapses_equal_neighbours_but_not_across_blank():
    path = torch.tensor([[1, 1, 0, 1, 2, 2, 0]])
    log_probs = torch.nn.functional.one_hot(path, VOCABULARY).float().log_softmax(2)
    assert ctc_greedy(log_probs, torch.tensor([7]))[0].labels == [1, 1, 2]
    plain = ctc_greedy(log_probs, torch.tensor([7]), collapse=False)
    assert plain[0].labels == [1, 1, 1, 2, 2]


def test_batched_prefix_search_equals_one_by_one_bit_for_bit():
    log_probs, lengths = outputs(3, batch=5, frames=9), torch.tensor([9, 0, 4, 9, 1])
    search = CtcPrefixSearch(5)
    for row, result in enumerate(search(log_probs, lengths)):
        length = lengths[row : row + 1]
        assert search(log_probs[row : row + 1, : int(length)], length)[0] == result


def test_language_model_scores_are_added_once_a_label():
    log_probs = outputs(4)
    search = CtcPrefixSearch(FULL, scorers=[(scorer("ngram"), 0.5)])
    expected = exact(log_probs[0], True)
    for entry in search(log_probs, torch.tensor([FRAMES]))[0]:
        labels = tuple(entry.labels)
        score = math.log(expected[labels]) + 0.5 * lm_score("ngram", labels)
        assert entry.score == pytest.approx(score, abs=1e-5)
