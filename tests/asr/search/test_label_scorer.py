"""Shallow fusion against enumeration of all label sequences and their alignments."""

import itertools
import math

import numpy as np
import pytest
import torch
from espnet2.lm.seq_rnn_lm import SequentialRNNLM
from espnet2.lm.transformer_lm import TransformerLM

from espnet_ext.asr.search.label_scorer import NeuralLmScorer, NgramScorer
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import OptionError
from espnet_ext.lm.kneser_ney import estimate, vocabulary
from tests.asr.loss.paths import enumerated_nll
from tests.asr.search.test_time_sync import (
    FRAMES,
    FULL,
    VOCABULARY,
    alone,
    log_probs_of,
    toy,
)

TOKENS = ["<blank>", "a", "b", "<sos/eos>"]
SOS = VOCABULARY - 1
KINDS = ("lstm", "gru", "transformer", "ngram")


def neural(kind, seed=3):
    torch.manual_seed(seed)
    if kind == "transformer":
        sizes = {"embed_unit": 6, "att_unit": 8, "unit": 8, "layer": 2, "head": 2}
        lm = TransformerLM(VOCABULARY, pos_enc="sinusoidal", **sizes)
    else:
        lm = SequentialRNNLM(VOCABULARY, unit=5, nlayers=2, rnn_type=kind)
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(3.0)
    return lm.eval()


def ngram(order=3):
    words = vocabulary(TOKENS[1:-1])
    rng = np.random.default_rng(5)
    a, b = words.index("a"), words.index("b")
    sentences = [rng.choice([a, b], size=n % 6, p=[0.8, 0.2]) for n in range(60)]
    return estimate(sentences, words, order)[0]


def scorer(kind):
    if kind == "ngram":
        return NgramScorer(ngram(), TOKENS)
    return NeuralLmScorer(neural(kind), SOS)


def lm_score(kind, labels):
    """Sum of the log-probabilities of labels, by other code than the search calls."""
    if kind == "ngram":
        model = ngram()
        words = [model.index[{3: "</s>"}.get(k, TOKENS[k])] for k in labels]
        return sum(model.score(words)[: len(words)])
    with torch.no_grad():
        inputs = torch.tensor([[SOS, *labels]])
        outputs = neural(kind)(inputs, None)[0][0].log_softmax(-1)
    return sum(float(outputs[i, k]) for i, k in enumerate(labels))


def label_sequences():
    for length in range(FRAMES + 1):
        yield from itertools.product(range(1, VOCABULARY), repeat=length)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [0.7, -0.4])
def test_full_beam_gives_the_exact_sum_over_alignments_plus_the_lm_score(kind, weight):
    decoder, am_TR = toy(1)
    search = TimeSyncSearch(decoder, FULL, scorers=[(scorer(kind), weight)])
    entries = alone(search, am_TR)
    expected = {}
    for labels in label_sequences():
        table = log_probs_of(decoder, am_TR, list(labels))
        nll = enumerated_nll(table, FRAMES, list(labels), 0)
        expected[labels] = weight * lm_score(kind, labels) - float(nll)
    assert {tuple(entry.labels) for entry in entries} == set(expected)
    for entry in entries:
        assert entry.score == pytest.approx(expected[tuple(entry.labels)], abs=2e-4)
    assert tuple(entries[0].labels) == max(expected, key=expected.get)


def test_several_scorers_add_up():
    decoder, am_TR = toy(2)
    pairs = [(scorer("lstm"), 0.5), (scorer("ngram"), 0.3)]
    plain = alone(TimeSyncSearch(decoder, FULL), am_TR)
    score_of = {tuple(entry.labels): entry.score for entry in plain}
    for entry in alone(TimeSyncSearch(decoder, FULL, scorers=pairs), am_TR):
        labels = tuple(entry.labels)
        extra = 0.5 * lm_score("lstm", labels) + 0.3 * lm_score("ngram", labels)
        assert entry.score == pytest.approx(score_of[labels] + extra, abs=2e-4)


@pytest.mark.parametrize("recombination", ["none", "max"])
def test_every_path_of_a_label_sequence_gets_the_same_lm_score(recombination):
    decoder, am_TR = toy(0)
    plain = alone(TimeSyncSearch(decoder, FULL, recombination), am_TR)
    score_of = {tuple(entry.symbols): entry.score for entry in plain}
    pairs = [(scorer("ngram"), 0.6)]
    fused = alone(TimeSyncSearch(decoder, FULL, recombination, scorers=pairs), am_TR)
    assert len(fused) == len(plain)
    for entry in fused:
        expected = score_of[tuple(entry.symbols)] + 0.6 * lm_score(
            "ngram", entry.labels
        )
        assert entry.score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_weight_zero_changes_nothing_bit_for_bit(beam):
    decoder, am_TR = toy(3)
    pairs = [(scorer("lstm"), 0.0), (scorer("ngram"), 0.0)]
    fused = alone(TimeSyncSearch(decoder, beam, scorers=pairs), am_TR)
    assert fused == alone(TimeSyncSearch(decoder, beam), am_TR)


def test_scorers_of_weight_zero_are_not_even_asked():
    decoder, am_TR = toy(3)
    counting = Counting()
    alone(TimeSyncSearch(decoder, 4, scorers=[(counting, 0.0)]), am_TR)
    assert counting.calls == 0 and not counting.seen


def test_a_strong_language_model_changes_results():
    strong = [(scorer("lstm"), 3.0)]
    changed = 0
    for seed in range(6):
        decoder, am_TR = toy(seed)
        plain = alone(TimeSyncSearch(decoder, 8), am_TR)[0]
        fused = alone(TimeSyncSearch(decoder, 8, scorers=strong), am_TR)[0]
        changed += plain.labels != fused.labels
    assert changed > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_scores_as_one_by_one_whatever_the_lengths(kind):
    tested = scorer(kind)
    histories = [(1,), (2, 1, 2), (1, 2), (2, 2, 2), (3,)]
    before = []
    for history in histories:
        scores, state = tested.start()
        for label in history:
            scores, (state,) = tested.step([label], [state])
        before.append((scores[0], state))
    labels = [1, 2, 2, 1, 1]
    together, _ = tested.step(labels, [state for _, state in before])
    for row, (label, (_, state)) in enumerate(zip(labels, before)):
        single, _ = tested.step([label], [state])
        torch.testing.assert_close(together[row], single[0], atol=1e-5, rtol=0)
        path = [*histories[row], label]
        for k in (1, 2):
            expected = lm_score(kind, [*path, k]) - lm_score(kind, path)
            assert float(together[row, k]) == pytest.approx(expected, abs=1e-4)


class Counting:
    """Counts how many label sequences are scored, and how often one is twice."""

    def __init__(self):
        self.seen, self.calls = [], 0

    def start(self):
        self.calls += 1
        return torch.zeros(VOCABULARY), ()

    def step(self, labels, states):
        self.calls += 1
        histories = [(*state, k) for k, state in zip(labels, states)]
        self.seen += histories
        return torch.zeros(len(labels), VOCABULARY), histories


@pytest.mark.parametrize("recombination", ["none", "sum"])
def test_only_new_label_sequences_are_scored_in_one_call_a_frame(recombination):
    decoder, am_TR = toy(2)
    counting = Counting()
    search = TimeSyncSearch(decoder, FULL, recombination, scorers=[(counting, 1.0)])
    entries = alone(search, am_TR)
    assert counting.calls <= 1 + FRAMES
    assert len(counting.seen) == len(set(counting.seen))
    assert {tuple(e.labels) for e in entries} == {(), *counting.seen}


def test_sentence_ends_of_the_recognizer_are_those_of_the_ngram():
    model, tested = ngram(), scorer("ngram")
    scores, _ = tested.start()
    end, unknown = model.index["</s>"], model.index["<unk>"]
    assert float(scores[SOS]) == pytest.approx(model.step(model.start(), end)[0])
    assert not math.isclose(model.step(model.start(), unknown)[0], float(scores[SOS]))


def test_an_ngram_of_other_units_is_refused():
    with pytest.raises(OptionError, match="2 of 2 tokens"):
        NgramScorer(ngram(), ["<blank>", "x", "y", "<sos/eos>"])
