"""Warp: the slow formulas of TensorFlow, its strength, its schedule."""

import numpy
import pytest
import torch

from espnet_ext.asr.specaug.time_warp import WarpOptions, draw_flow, random_warp, warp
from tests.asr.specaug.slow_masks import slow_flow, slow_warp

OLDTWARP = WarpOptions(std_frames=[[2000, 10], [10000, 40], [100000, 90]])


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_the_flow_equals_blur_and_interpolation_written_out(cells):
    options = WarpOptions(feature_cells=cells)
    flow = draw_flow((2, 37, 6), 4.0, options, torch.Generator().manual_seed(5))
    grid = 4.0 * torch.randn(2, 3, cells, generator=torch.Generator().manual_seed(5))
    for b in range(2):
        expected = slow_flow(grid[b].double().numpy(), 2.0, 37, 6)
        numpy.testing.assert_allclose(
            flow[b].expand(37, 6).numpy(), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("over_features", [False, True])
def test_warped_values_equal_bilinear_interpolation_written_out(over_features):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)
    shape = (2, 12, 5) if over_features else (2, 12, 1)
    # also far beyond the borders
    flow_t = 6 * torch.randn(shape, generator=generator, dtype=torch.float64)
    flow_f = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    warped = warp(x, flow_t, flow_f if over_features else None)
    for b in range(2):
        expected = slow_warp(
            x[b].numpy(),
            flow_t[b].expand(12, 5).numpy(),
            flow_f[b].expand(12, 5).numpy() * over_features,
        )
        numpy.testing.assert_allclose(warped[b].numpy(), expected, atol=1e-12)


def test_a_shift_by_whole_frames_moves_the_frames():
    x = torch.arange(10.0).view(1, 10, 1).expand(1, 10, 2)
    moved = warp(x, torch.full((1, 10, 1), 3.0), None)
    assert moved[0, :, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_with_one_cell_a_deviation_of_ten_is_three_quarters_of_a_frame():
    """The kernel of one axis, k: deviation 10 sqrt(sum k^2) k_0 away from the ends."""
    flow = draw_flow((400, 300, 40), 10.0, OLDTWARP, torch.Generator().manual_seed(0))
    place = numpy.arange(-5, 6)
    kernel = numpy.exp(-0.5 * (place / 2) ** 2)
    kernel /= kernel.sum()
    expected = 10 * numpy.sqrt((kernel**2).sum()) * kernel[5]
    assert expected == pytest.approx(0.75, abs=0.01)
    # frames that lie on a grid point inside: every tenth
    assert float(flow[:, 60:240:10].std()) == pytest.approx(expected, rel=0.05)


def test_the_strength_grows_with_the_batch():
    stds = [OLDTWARP.std(batch) for batch in (0, 1999, 2000, 9999, 10000, 99999, 10**5)]
    assert stds == [0, 0, 10, 10, 40, 40, 90]


def test_nothing_is_warped_before_the_first_batch_and_no_number_is_drawn():
    x = torch.randn(1, 30, 4)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert random_warp(x, 1999, OLDTWARP, generator) is x
    assert torch.equal(generator.get_state(), before)
    assert not torch.equal(random_warp(x, 2000, OLDTWARP, generator), x)


def test_the_warp_over_features_is_not_delayed():
    """oldtwarp3 passes its deviation over features whatever the batch."""
    options = WarpOptions([[2000, 10]], feature_std=1.0, feature_cells=2)
    x = torch.randn(1, 30, 40)
    y = random_warp(x, 0, options, torch.Generator().manual_seed(0))
    assert not torch.equal(x, y)


@pytest.mark.parametrize("frames", [0, 1, 2, 9])
def test_short_sequences_stay_whole(frames):
    x = torch.randn(2, frames, 4)
    y = random_warp(x, 5000, OLDTWARP, torch.Generator().manual_seed(0))
    assert y.shape == x.shape and y.isfinite().all()


def test_impossible_options_are_named():
    with pytest.raises(ValueError, match="std_frames begins"):
        WarpOptions(std_frames=[[2000, 10], [1000, 40]])
    with pytest.raises(ValueError, match="feature_cells"):
        WarpOptions(feature_cells=0)
