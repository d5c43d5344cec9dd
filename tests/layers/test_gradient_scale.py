"""Gradients scaled by the distance of key and query."""

import math

import pytest
import torch

from espnet_ext.layers.gradient_scale import distance_factors, scale_gradient


def test_value_is_the_same_and_the_gradient_is_scaled():
    x = torch.randn(2, 3, requires_grad=True)
    factor = torch.tensor([1.0, 0.5, 0.0])
    y = scale_gradient(x, factor)
    assert torch.equal(y, x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, factor.expand(2, 3))


def test_factors_decay_with_the_distance():
    factors = distance_factors(4, 0.1)
    for t in range(4):
        for s in range(4):
            expected = math.exp(-0.1 * abs(s - t))
            assert factors[t, s].item() == pytest.approx(expected)


def test_dropout_is_over_keys_and_reset_over_elements():
    torch.manual_seed(0)
    dropped = distance_factors(400, 0.0, dropout=0.1)
    assert (dropped == dropped[:1]).all()
    # 400 draws of probability 0.1: four standard deviations are 0.06
    assert abs(float((dropped[0] == 0).float().mean()) - 0.1) < 0.06
    reset = distance_factors(400, 10.0, reset=0.1)
    off_diagonal = ~torch.eye(400, dtype=torch.bool)
    # 159,600 draws: four standard deviations are 0.003
    rate = (reset[off_diagonal] == 1.0).float().mean()
    assert abs(float(rate) - 0.1) < 0.003
