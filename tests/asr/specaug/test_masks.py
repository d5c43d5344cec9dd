"""Masks: numbers of the reference, a slow oracle, and distributions."""

import numpy
import pytest
import torch

from espnet_ext.asr.specaug.masks import MaskOptions, draw_masks, mask
from tests.asr.specaug.slow_masks import slow_masks

SPECAUG = MaskOptions()
WEI = MaskOptions(
    time_length=(1, 15),
    frames_per_time_mask=21,
    min_time_masks=1,
    feature_length=(1, 4),
    feature_masks=5,
    schedule="halved_until_2000",
)


@pytest.mark.parametrize(
    "options, batch, frames, time, feature",
    [
        # reference/parts.md 2.5: T // 100 = 4, s1 and s2 from batches 1000 and 2000
        (SPECAUG, 0, 450, (0, 4), (0, 2)),
        (SPECAUG, 999, 450, (0, 4), (0, 2)),
        (SPECAUG, 1000, 450, (1, 8), (1, 3)),
        (SPECAUG, 1999, 150, (1, 4), (1, 3)),
        (SPECAUG, 2000, 450, (2, 16), (2, 5)),
        (SPECAUG, 10**6, 5, (2, 5), (2, 5)),
        (SPECAUG, 10**6, 1, (1, 1), (2, 5)),
        (WEI, 1999, 450, (0, 21 // 2), (0, 2)),
        (WEI, 2000, 450, (0, 21), (0, 5)),
        (WEI, 0, 20, (0, 0), (0, 2)),
        (WEI, 2000, 20, (0, 1), (0, 5)),
    ],
)
def test_numbers_of_masks_are_those_of_the_reference(
    options, batch, frames, time, feature
):
    assert options.numbers(batch, frames, 40) == (time, feature)


@pytest.mark.parametrize("count", ["batch_maximum", "per_sequence"])
@pytest.mark.parametrize("seed", range(6))
def test_masks_equal_a_slow_implementation_with_the_same_draws(count, seed):
    drawn = draw_masks(
        *(4, 30, (0, 5), (2, 6), count), torch.Generator().manual_seed(seed)
    )
    expected = slow_masks(4, 30, 0, 5, (2, 6), count == "per_sequence", seed)
    assert numpy.array_equal(drawn.numpy(), expected)


def test_no_mask_is_drawn_where_none_is_wanted():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_masks(3, 10, (0, 0), (1, 4), "batch_maximum", generator)
    assert drawn.shape == (3, 10) and not drawn.any()


def test_single_masks_have_uniform_places_and_lengths():
    """20,000 draws; five standard deviations of a binomial count."""
    draws, positions = 20_000, 50
    generator = torch.Generator().manual_seed(1)
    drawn = draw_masks(
        draws, positions, (1, 1), (1, 5), "per_sequence", generator
    ).numpy()
    begin = drawn.argmax(1)
    counts = numpy.bincount(begin, minlength=positions)
    expected = draws / positions
    assert numpy.abs(counts - expected).max() < 5 * numpy.sqrt(expected)
    # away from the end no mask is cut off
    sizes = numpy.bincount(drawn.sum(1)[begin < 45], minlength=6)
    assert sizes[0] == 0 and len(sizes) == 6
    expected = sizes.sum() / 5
    assert numpy.abs(sizes[1:] - expected).max() < 5 * numpy.sqrt(expected)


def test_numbers_per_sequence_are_uniform_and_the_maximum_masks_more():
    def masked_share(count):
        shares = []
        for seed in range(60):
            drawn = draw_masks(
                *(20, 4000, (2, 12), (1, 1), count), torch.Generator().manual_seed(seed)
            )
            shares.append(drawn.sum(1).double().mean())
        return float(torch.stack(shares).mean())

    # masks of one frame at different places: their number is what is masked.
    # 1,200 numbers of 2..12 have mean 7 and deviation 3.2; of 20 most are 12
    assert masked_share("per_sequence") == pytest.approx(7.0, abs=5 * 3.2 / 1200**0.5)
    expected_maximum = 12 - sum((n / 11) ** 20 for n in range(1, 11))
    assert masked_share("batch_maximum") == pytest.approx(expected_maximum, abs=0.6)


def test_masked_values_are_zero_and_all_others_as_they_were():
    x = torch.rand(3, 60, 40) + 1.0
    y = mask(x, 5000, SPECAUG, torch.Generator().manual_seed(3))
    assert ((y == 0) | (y == x)).all()
    zero = y == 0
    # every zero belongs to a frame or a feature that is zero as a whole
    assert torch.equal(zero, zero.all(2, keepdim=True) | zero.all(1, keepdim=True))
    assert zero.any() and not zero.all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"schedule": "rising"}, "schedule 'rising'"),
        ({"count": "all"}, "count 'all'"),
        ({"time_length": [0, 20]}, "time_length"),
        ({"feature_length": [9, 8]}, "feature_length"),
        ({"frames_per_time_mask": 0}, "frames_per_time_mask"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MaskOptions(**options)
