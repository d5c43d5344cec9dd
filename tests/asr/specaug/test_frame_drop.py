"""Frames left out and put in: a slow oracle, rates, and what is always kept."""

import numpy
import pytest
import torch

from espnet_ext.asr.specaug.frame_drop import (
    FrameDropOptions,
    LengthPerturbationOptions,
    drop_frames,
    frame_repeats,
    frames_kept,
    perturb_length,
)


def numbered(lengths, frames):
    """Features whose value is their frame number from 1; padding holds -1."""
    x = torch.arange(1.0, frames + 1).view(1, frames, 1).repeat(len(lengths), 1, 2)
    for b, length in enumerate(lengths):
        x[b, length:] = -1.0
    return x, torch.tensor(lengths)


@pytest.mark.parametrize("seed", range(5))
def test_kept_frames_equal_a_slow_implementation_with_the_same_draws(seed):
    options = FrameDropOptions(rate=0.4, min_frames=3)
    x, lengths = numbered([20, 9, 2], 20)
    generator = torch.Generator().manual_seed(seed)
    y, new = drop_frames(x, lengths, options, generator)
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(3, 20, generator=generator).tolist()
    noise = torch.rand(3, 20, generator=generator).tolist()
    for b, length in enumerate(lengths.tolist()):
        best = sorted(range(length), key=lambda t: -noise[b][t])[:3]
        kept = [t + 1 for t in range(length) if first[b][t] >= 0.4 or t in best]
        assert int(new[b]) == len(kept)
        assert y[b, : len(kept), 0].tolist() == kept
        assert (y[b, len(kept) :] == 0).all()
    assert y.size(1) == int(new.max())


def test_the_rate_is_met_and_ten_frames_stay_whatever_it_is():
    options = FrameDropOptions(rate=0.1)
    lengths = torch.full((200,), 500)
    kept = frames_kept(lengths, 500, options, torch.Generator().manual_seed(0))
    # ten frames never go: 490 do with 0.1; five standard errors of 98,000 draws
    expected = 0.1 * 490 / 500
    dropped = 1 - float(kept.double().mean())
    assert dropped == pytest.approx(expected, abs=5 * 0.3 / 100_000**0.5)
    hard = FrameDropOptions(rate=0.999)
    kept = frames_kept(lengths, 500, hard, torch.Generator().manual_seed(0))
    assert 10 <= int(kept.sum(1).min()) <= 12


def test_sequences_of_at_most_ten_frames_lose_none():
    x, lengths = numbered([10, 4, 0], 30)
    y, new = drop_frames(
        x, lengths, FrameDropOptions(rate=0.9), torch.Generator().manual_seed(0)
    )
    assert new.tolist() == [10, 4, 0]
    assert y.size(1) == 10


@pytest.mark.parametrize("seed", range(5))
def test_perturbed_lengths_equal_a_slow_implementation(seed):
    options = LengthPerturbationOptions(0.1, (1, 4), 0.1, (1, 3), min_frames=2)
    x, lengths = numbered([40, 25, 3], 40)
    y, new = perturb_length(x, lengths, options, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(2):
        begins = torch.rand(3, 40, generator=generator) < 0.1
        high = 5 if not draws else 4
        draws.append((begins, torch.randint(1, high, (3, 40), generator=generator)))
    for b, length in enumerate(lengths.tolist()):
        expected, gone_until = [], 0
        for t in range(length):
            if draws[0][0][b, t]:
                gone_until = max(gone_until, t + int(draws[0][1][b, t]))
            if t >= gone_until:
                expected.append(float(t + 1))
            if draws[1][0][b, t]:
                expected += [0.0] * int(draws[1][1][b, t])
        if len(expected) < 2:
            expected = [float(t + 1) for t in range(length)]
        assert int(new[b]) == len(expected)
        assert y[b, : len(expected), 0].tolist() == expected
        assert (y[b, len(expected) :] == 0).all()


def test_rates_of_zero_keep_everything():
    lengths = torch.tensor([30, 12])
    kept, zeros = frame_repeats(
        lengths, 30, LengthPerturbationOptions(), torch.Generator().manual_seed(0)
    )
    assert kept.sum(1).tolist() == [30, 12] and int(zeros.sum()) == 0


def test_impossible_options_are_named():
    with pytest.raises(ValueError, match="frame_drop.rate"):
        FrameDropOptions(rate=1.0)
    with pytest.raises(ValueError, match="insert_length"):
        LengthPerturbationOptions(insert_rate=0.1, insert_length=(3, 2))


def test_dropping_is_on_average_what_run_lengths_say():
    """A frame stays if no run of 1 to 3 frames begins in the frames before it."""
    options = LengthPerturbationOptions(drop_rate=0.05, drop_length=(1, 3))
    lengths = torch.full((300,), 400)
    kept, _ = frame_repeats(lengths, 400, options, torch.Generator().manual_seed(1))
    # at distances 0, 1, 2 a run reaches the frame with probability 1, 2/3, 1/3
    expected = numpy.prod([1 - 0.05 * reach for reach in (1, 2 / 3, 1 / 3)])
    assert float(kept.double().mean()) == pytest.approx(expected, abs=0.005)
