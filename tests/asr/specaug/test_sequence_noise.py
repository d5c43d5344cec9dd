"""Other utterances as noise: which, how loud, how often."""

import pytest
import torch

from espnet_ext.asr.specaug.sequence_noise import (
    SequenceNoiseOptions,
    add_sequence_noise,
)


def test_the_sum_is_the_utterance_and_a_scaled_other_one_up_to_its_end():
    speech = torch.tensor([[1.0, 1, 1, 1], [10, 10, 7, 7], [100, 100, 100, 7]])
    lengths = torch.tensor([4, 2, 3])
    options = SequenceNoiseOptions(probability=1.0, scale=0.5)
    silent = speech * (torch.arange(4) < lengths.unsqueeze(1))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        y = add_sequence_noise(speech, lengths, options, generator)
        for b, length in enumerate(lengths.tolist()):
            others = [silent[j, :length] for j in range(3) if j != b]
            sums = [speech[b, :length] + 0.5 * other for other in others]
            assert any(torch.equal(y[b, :length], s) for s in sums)
            assert torch.equal(y[b, length:], speech[b, length:])


def test_the_probability_is_met():
    speech = torch.ones(2000, 2)
    options = SequenceNoiseOptions(probability=0.8)
    y = add_sequence_noise(
        speech, torch.full((2000,), 2), options, torch.Generator().manual_seed(0)
    )
    share = float((y[:, 0] > 1).double().mean())
    assert share == pytest.approx(0.8, abs=5 * 0.4 / 2000**0.5)


def test_a_single_utterance_and_a_probability_of_zero_change_nothing():
    speech = torch.ones(1, 5)
    options = SequenceNoiseOptions(probability=1.0)
    assert add_sequence_noise(speech, torch.tensor([5]), options, None) is speech
    two = torch.ones(2, 5)
    neutral = SequenceNoiseOptions(probability=0.0)
    assert add_sequence_noise(two, torch.tensor([5, 5]), neutral, None) is two


def test_features_are_refused():
    with pytest.raises(ValueError, match="waveforms"):
        add_sequence_noise(
            *(
                torch.ones(2, 5, 3),
                torch.tensor([5, 5]),
                SequenceNoiseOptions(1.0),
                None,
            )
        )
