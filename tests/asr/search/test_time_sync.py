"""Searches against enumeration of every alignment and every label sequence."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from tests.asr.loss.paths import enumerated_nll, path_score
from tests.asr.tiny import tiny_decoder

FRAMES = 5
VOCABULARY = 4
FULL = VOCABULARY**FRAMES  # so many paths


def toy(seed):
    decoder = tiny_decoder(VOCABULARY, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(1, FRAMES, 6, generator=generator)
    return decoder, decoder.joint_network.project_frames(frames)[0].detach()


def alone(search, am_TR):
    """The result of one utterance."""
    return search(am_TR.unsqueeze(0), torch.tensor([am_TR.size(0)]))[0]


def log_probs_of(decoder, am_TR, labels):
    """[T, S, V] for a label sequence, from the training-time forward pass."""
    lm_SR = decoder(torch.tensor([[0, *labels]]))[0]
    return decoder.joint_network(am_TR.unsqueeze(1), lm_SR.unsqueeze(0)).detach()


def all_symbol_sequences():
    return itertools.product(range(VOCABULARY), repeat=FRAMES)


def exact_path_scores(decoder, am_TR):
    scores = {}
    for symbols in all_symbol_sequences():
        labels = [k for k in symbols if k != 0]
        table = log_probs_of(decoder, am_TR, labels)
        scores[symbols] = path_score(table, symbols, 0)
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_full_beam_finds_the_best_path_of_all(seed):
    decoder, am_TR = toy(seed)
    scores = exact_path_scores(decoder, am_TR)
    entries = alone(TimeSyncSearch(decoder, FULL, recombination="none"), am_TR)
    assert len(entries) == len(scores)
    for entry in entries:
        assert entry.score == pytest.approx(scores[tuple(entry.symbols)], abs=1e-4)
    assert tuple(entries[0].symbols) == max(scores, key=scores.get)


@pytest.mark.parametrize("seed", range(3))
def test_recombined_scores_are_exact_sums_over_all_alignments(seed):
    decoder, am_TR = toy(seed)
    entries = alone(TimeSyncSearch(decoder, FULL, recombination="sum"), am_TR)
    distinct = {tuple(k for k in s if k != 0) for s in all_symbol_sequences()}
    assert {tuple(entry.labels) for entry in entries} == distinct
    assert len(entries) == len(distinct)
    for entry in entries:
        table = log_probs_of(decoder, am_TR, entry.labels)
        nll = enumerated_nll(table, FRAMES, entry.labels, 0)
        assert entry.score == pytest.approx(-nll, abs=1e-4)
    assert math.fsum(math.exp(e.score) for e in entries) == pytest.approx(1.0, abs=1e-4)


def test_max_recombination_keeps_the_best_path_of_each_label_sequence():
    decoder, am_TR = toy(1)
    best = {}
    for symbols, score in exact_path_scores(decoder, am_TR).items():
        labels = tuple(k for k in symbols if k != 0)
        if score > best.get(labels, (-math.inf, None))[0]:
            best[labels] = (score, symbols)
    for entry in alone(TimeSyncSearch(decoder, FULL, recombination="max"), am_TR):
        score, symbols = best[tuple(entry.labels)]
        assert entry.score == pytest.approx(score, abs=1e-4)
        assert tuple(entry.symbols) == symbols


def test_symbols_of_each_entry_spell_its_labels():
    decoder, am_TR = toy(2)
    for recombination in ("none", "sum", "max"):
        for entry in alone(TimeSyncSearch(decoder, 4, recombination), am_TR):
            assert [k for k in entry.symbols if k != 0] == entry.labels
            assert len(entry.symbols) == FRAMES


@pytest.mark.parametrize("seed", range(4))
def test_beam_of_one_is_greedy_search(seed):
    decoder, am_TR = toy(seed)
    entry = alone(TimeSyncSearch(decoder, 1, recombination="none"), am_TR)[0]
    result = greedy_search(decoder, am_TR.unsqueeze(0), torch.tensor([FRAMES]))[0]
    assert result.labels == entry.labels
    assert result.score == pytest.approx(entry.score, abs=1e-5)


def test_greedy_results_do_not_depend_on_the_batch():
    decoder, _ = toy(0)
    generator = torch.Generator().manual_seed(9)
    frames = torch.randn(3, 8, 6, generator=generator)
    lengths = torch.tensor([8, 5, 0])
    am = decoder.joint_network.project_frames(frames, lengths).detach()
    batch = greedy_search(decoder, am, lengths)
    for row, length in enumerate(lengths.tolist()):
        single = am[row : row + 1, :length], lengths[row : row + 1]
        assert greedy_search(decoder, *single) == [batch[row]]
    assert batch[2].labels == []


def test_skipping_bos_changes_the_scores_of_the_first_frames():
    decoder, am_TR = toy(0)
    run = alone(TimeSyncSearch(decoder, 4, bos="run"), am_TR)
    skip = alone(TimeSyncSearch(decoder, 4, bos="skip"), am_TR)
    assert abs(run[0].score - skip[0].score) > 1e-3


def test_an_utterance_without_frames_gives_an_empty_result():
    decoder, am_TR = toy(0)
    entries = alone(TimeSyncSearch(decoder, 4), am_TR[:0])
    assert [entry.labels for entry in entries] == [[]]


def test_unknown_options_are_refused():
    decoder, _ = toy(0)
    with pytest.raises(ValueError, match="recombination 'summ'"):
        TimeSyncSearch(decoder, 4, recombination="summ")
    with pytest.raises(ValueError, match="beam_size 0"):
        TimeSyncSearch(decoder, 0)
    with pytest.raises(ValueError, match="bos 'never'"):
        TimeSyncSearch(decoder, 4, bos="never")
    with pytest.raises(ValueError, match="recombine_by 'text': expected a token_list"):
        TimeSyncSearch(decoder, 4, recombine_by="text")
