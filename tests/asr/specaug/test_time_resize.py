"""Resize: TensorFlow's formula by hand, one factor a batch, its bounds."""

import math

import numpy
import pytest
import torch

from espnet_ext.asr.specaug.time_resize import (
    ResizeOptions,
    resize_linear,
    resize_time,
)
from tests.asr.specaug.slow_masks import slow_resize

RNDRESIZE = ResizeOptions(range=[0.9, 1.2], long_frames=250, long_maximum=1.0)


def test_the_interpolation_equals_the_formula_by_hand():
    # 4 frames to 6: places 0, 2/3, 4/3, 2, 8/3, 10/3; behind frame 3 its value stays
    x = torch.tensor([0.0, 3.0, 6.0, 12.0]).view(1, 4, 1)
    resized = resize_linear(x, 6, 1).flatten()
    torch.testing.assert_close(resized, torch.tensor([0.0, 2.0, 4.0, 6.0, 10.0, 12.0]))


@pytest.mark.parametrize("size", [1, 5, 7, 13, 14, 29])
def test_any_size_equals_the_slow_formula(size):
    x = torch.randn(2, 13, 3, dtype=torch.float64)
    resized = resize_linear(x, size, 1)
    for b in range(2):
        for f in range(3):
            numpy.testing.assert_allclose(
                resized[b, :, f].numpy(),
                slow_resize(x[b, :, f].numpy(), size),
                atol=1e-5,
            )


def factors(frames, draws=400):
    """Quotients of new and old length with one generator."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(2, frames, 1)
    lengths = torch.tensor([frames, frames // 2])
    found = []
    for _ in range(draws):
        y, new = resize_time(x, lengths, RNDRESIZE, generator)
        assert y.size(1) == int(new[0])  # the longest sequence fills the batch
        found.append(y.size(1) / frames)
        assert int(new[1]) in (math.ceil(y.size(1) / 2), math.ceil(y.size(1) / 2) - 1)
    return numpy.array(found)


def test_factors_are_uniform_and_long_batches_are_never_stretched():
    short, long = factors(250), factors(251)
    assert 0.9 <= short.min() < 0.91 and 1.19 < short.max() <= 1.2 + 1 / 250
    # mean and deviation of a uniform distribution, five standard errors and the ceiling
    assert short.mean() == pytest.approx(1.05, abs=5 * 0.0866 / 20 + 0.004)
    assert short.std() == pytest.approx(0.3 / 12**0.5, rel=0.15)
    assert 0.9 <= long.min() < 0.91 and 0.98 < long.max() <= 1.0 + 1 / 251


def test_the_frontend_of_the_longest_sequence_decides_not_each_sequence():
    x = torch.zeros(3, 400, 2)
    _, lengths = resize_time(
        x, torch.tensor([400, 100, 7]), RNDRESIZE, torch.Generator().manual_seed(3)
    )
    factor = int(lengths[0]) / 400
    assert factor <= 1.0
    assert lengths.tolist()[1] in (math.ceil(100 * factor), math.ceil(100 * factor) - 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"range": [1.2, 0.9]}, "range"),
        ({"range": [0.0, 1.0]}, "range"),
        ({"range": [0.9, 1.2], "long_frames": 250}, "go together"),
        ({"range": [1.1, 1.2], "long_frames": 250, "long_maximum": 1.0}, "smaller"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ResizeOptions(**options)
