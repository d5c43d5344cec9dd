"""Internal language models against formulas on models that factorise."""

import itertools
import math

import numpy as np
import pytest
import torch

from espnet_ext.asr.search.internal_lm import (
    FixedFrame,
    InternalLm,
    InternalLmScorer,
    LengthScorer,
    MiniLstm,
    projected_frame,
    zero_frame,
)
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import OptionError
from espnet_ext.inference.sequence_scores import TextScore, sequence_scores
from tests.asr.search.test_time_sync import FRAMES, VOCABULARY, toy
from tests.asr.tiny import tiny_decoder

ENCODER = 6
HISTORIES = [[], [1], [2, 1], [3, 3, 2]]


def factorised_decoder(seed=0, attention=True):
    """Logits are a sum of a part of the frame and a part of the labels."""
    joint = {} if attention else {"attention": None}
    decoder = tiny_decoder(VOCABULARY, ENCODER, seed=seed, joint=joint)
    network = decoder.joint_network
    with torch.no_grad():
        for tensor in (
            network.readout_am.weight,
            network.readout_lm.weight,
            network.readout_bias,
        ):
            tensor[1::2] = tensor[::2]  # the maximum of equal pairs is linear
    return decoder


def numpy_label_part(decoder, history):
    """softmax(W (L h + b) + c) with h from the training-time pass, in numpy."""
    joint = decoder.joint_network
    lm_R = decoder(torch.tensor([[0, *history]]))[0, -1].detach().numpy()
    bias = joint.readout_bias.detach().numpy()
    weight, offset = (x.detach().numpy() for x in joint.label_output.parameters())
    logits = weight @ (lm_R + bias)[::2] + offset
    return logits - np.log(np.exp(logits).sum())


def scores_after(scorer, history):
    scores, state = scorer.start()
    for label in history:
        scores, (state,) = scorer.step([label], [state])
        scores = scores[0]
    return scores


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("separate", [True, False])
def test_zero_encoder_of_a_factorised_model_is_its_label_part(attention, separate):
    decoder = factorised_decoder(attention=attention)
    frame = FixedFrame(zero_frame(decoder, ENCODER))
    scorer = InternalLmScorer(InternalLm(decoder, frame, separate))
    for history in HISTORIES:
        scores = scores_after(scorer, history)
        expected = torch.from_numpy(numpy_label_part(decoder, history))
        torch.testing.assert_close(scores[1:-1], expected[:-1], atol=1e-5, rtol=0)
        assert float(scores[0]) == float(scores[-1]) == 0.0  # blank, sentence end


class SoftmaxJoint(torch.nn.Module):
    """One softmax over blank and labels: logits are the projected inputs' sum."""

    def project_frames(self, frames_BTD, lengths_B=None):
        return frames_BTD

    def project_prediction(self, prediction):
        return prediction

    def forward(self, am, lm):
        return (am + lm).log_softmax(-1)


def test_blank_is_divided_out_of_a_single_softmax_and_hat_refuses_it():
    decoder = tiny_decoder(VOCABULARY, ENCODER)
    decoder.joint_network = SoftmaxJoint()
    frame = FixedFrame(torch.zeros(VOCABULARY))
    scorer = InternalLmScorer(InternalLm(decoder, frame))
    for history in HISTORIES:
        logits = decoder(torch.tensor([[0, *history]]))[0, -1]
        probs = logits.softmax(-1)
        expected = (probs[1:] / (1.0 - probs[0])).log()
        scores = scores_after(scorer, history)[1:-1]
        torch.testing.assert_close(scores, expected[:-1], atol=1e-5, rtol=0)
    with pytest.raises(OptionError, match="no emission probability"):
        InternalLm(decoder, frame, separate_emission=True)


def test_an_average_frame_is_what_the_model_says_on_constant_audio():
    decoder = tiny_decoder(VOCABULARY, ENCODER, seed=2)
    mean_D = torch.randn(ENCODER, generator=torch.Generator().manual_seed(3))
    frame = FixedFrame(projected_frame(decoder, mean_D))
    scorer = InternalLmScorer(InternalLm(decoder, frame))
    frames = mean_D.expand(1, 21, -1)  # longer than the attention's window
    am_R = decoder.joint_network.project_frames(frames)[0, 10]
    for history in HISTORIES:
        lm_R = decoder(torch.tensor([[0, *history]]))[0, -1]
        labels = decoder.joint_network(am_R, lm_R)[1:]
        expected = labels - labels.exp().sum().log()
        scores = scores_after(scorer, history)[1:-1]
        torch.testing.assert_close(scores, expected[:-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["fixed", "mini_lstm"])
def test_a_batch_of_hypotheses_scores_as_one_by_one(kind):
    decoder = tiny_decoder(VOCABULARY, ENCODER, seed=1)
    frames = FixedFrame(zero_frame(decoder, ENCODER))
    if kind == "mini_lstm":
        frames = MiniLstm(3, 10, 4)
    model = InternalLm(decoder, frames)
    scorer = InternalLmScorer(model)
    states, alone = [], []
    for history in ([1, 2], [3, 1], [2, 2]):
        _, state = scorer.start()
        for label in history:
            scores, (state,) = scorer.step([label], [state])
        states.append(state)
        alone.append(scorer.step([2], [state])[0][0])
    together, _ = scorer.step([2, 2, 2], states)
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=0)
    # and as the pass over whole sequences that training uses
    labels = torch.tensor([[1, 2, 2], [2, 1, -1]])
    nll = model.nll(labels, torch.tensor([3, 2]))
    expected = sequence_scores(scorer, [[1, 2, 2], [2, 1]])
    assert nll.tolist() == pytest.approx([-x for x in expected], abs=1e-5)


def beam(decoder, am_TR, size, scorers=()):
    search = TimeSyncSearch(decoder, size, scorers=scorers)
    return search(am_TR.unsqueeze(0), torch.tensor([len(am_TR)]))[0]


def test_weight_zero_changes_nothing_bit_for_bit():
    decoder, am_TR = toy(3)
    frame = FixedFrame(zero_frame(decoder, ENCODER))
    pairs = [(InternalLmScorer(InternalLm(decoder, frame)), 0.0)]
    pairs.append((LengthScorer(VOCABULARY), 0.0))
    fused = beam(decoder, am_TR, 3, pairs)
    assert fused == beam(decoder, am_TR, 3)


def test_a_length_reward_adds_its_weight_for_every_label():
    decoder, am_TR = toy(1)
    plain = beam(decoder, am_TR, 5000)
    score_of = {tuple(entry.labels): entry.score for entry in plain}
    pairs = [(LengthScorer(VOCABULARY), 0.7)]
    for entry in beam(decoder, am_TR, 5000, pairs):
        expected = score_of[tuple(entry.labels)] + 0.7 * len(entry.labels)
        assert entry.score == pytest.approx(expected, abs=1e-4)


def test_the_internal_lm_subtracts_its_score_of_each_label_sequence():
    decoder, am_TR = toy(2)
    frame = FixedFrame(zero_frame(decoder, ENCODER))
    scorer = InternalLmScorer(InternalLm(decoder, frame))
    plain = beam(decoder, am_TR, 5000)
    score_of = {tuple(entry.labels): entry.score for entry in plain}
    sequences = [labels for labels in score_of if VOCABULARY - 1 not in labels]
    ilm = dict(zip(sequences, sequence_scores(scorer, sequences)))
    for entry in beam(decoder, am_TR, 5000, [(scorer, -0.6)]):
        labels = tuple(entry.labels)
        if labels in ilm:  # the others have a sentence end
            expected = score_of[labels] - 0.6 * ilm[labels]
            assert entry.score == pytest.approx(expected, abs=2e-4)


def test_probabilities_of_all_sequences_of_a_length_sum_to_one():
    decoder, _ = toy(2)
    model = InternalLm(decoder, FixedFrame(zero_frame(decoder, ENCODER)))
    sequences = list(itertools.product(range(1, VOCABULARY), repeat=FRAMES - 1))
    lengths = torch.full((len(sequences),), FRAMES - 1)
    nll = model.nll(torch.tensor(sequences), lengths)
    assert math.fsum((-nll).exp().tolist()) == pytest.approx(1.0, abs=1e-5)


def test_perplexity_of_a_uniform_model_is_its_size_and_counts_words_apart():
    score = TextScore(-9 * math.log(7.0), sentences=3, tokens=6, words=3, ends=True)
    assert score.per_token == pytest.approx(7.0)
    assert score.per_word == pytest.approx(7.0 ** (9 / 6))
    without = TextScore(-6 * math.log(7.0), 3, 6, 3, ends=False)
    assert without.per_token == pytest.approx(7.0)
