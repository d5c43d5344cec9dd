"""SAME padding against its definition, window by window."""

import pytest
import torch

from espnet_ext.layers.same_padding import (
    max_pool_2d,
    max_pool_time,
    pooled_lengths,
    same_padding,
)


def pooled_by_definition(values, size):
    """TensorFlow's rule: ceil(T/size) windows, the smaller half padded left."""
    windows = -(-len(values) // size)
    left = max(windows * size - len(values), 0) // 2
    result = []
    for index in range(windows):
        start = index * size - left
        result.append(max(values[max(start, 0) : start + size]))
    return result


@pytest.mark.parametrize("frames", range(1, 14))
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_time_pooling_takes_the_maximum_of_each_same_window(frames, size):
    x = torch.randn(2, frames, 3, generator=torch.Generator().manual_seed(frames))
    y = max_pool_time(x, size)
    for b in range(2):
        for f in range(3):
            assert y[b, :, f].tolist() == pooled_by_definition(
                x[b, :, f].tolist(), size
            )
    with torch.no_grad():
        assert torch.equal(max_pool_time(x, size), y)
    assert int(pooled_lengths(torch.tensor(frames), size)) == y.size(1)


def test_feature_pooling_of_an_odd_size_pads_on_the_right_only():
    x = torch.arange(5.0).view(1, 1, 1, 5)
    assert max_pool_2d(x, 1, 2).flatten().tolist() == [1.0, 3.0, 4.0]


def test_padding_of_an_even_kernel_has_the_extra_element_on_the_right():
    assert same_padding(100, 32, 1) == (15, 16)
    assert same_padding(100, 5, 1) == (2, 2)


def test_pooling_over_both_axes_is_pooling_over_one_after_the_other():
    x = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(2))
    y = max_pool_2d(x, 3, 2)
    torch.testing.assert_close(y, max_pool_2d(max_pool_2d(x, 3, 1), 1, 2))
    by_time = max_pool_time(x[:, 0], 3)
    torch.testing.assert_close(max_pool_2d(x, 3, 1)[:, 0], by_time)
