"""Rates on lines and half cosines against numpy and the formula of the paper."""

import math

import numpy as np
import pytest
import torch

from espnet_ext.errors import OptionError
from espnet_ext.schedulers.piecewise import (
    CosineUpdates,
    PiecewiseLinear,
    PiecewiseLinearUpdates,
)

ONE_CYCLE = [[1, 1e-5], [46, 1e-3], [91, 1e-5], [150, 1e-7]]


def curve(kind, steps, **options):
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1.0}])
    scheduler = kind(optimizer, **options)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return rates


@pytest.mark.parametrize("kind", [PiecewiseLinear, PiecewiseLinearUpdates])
def test_lines_between_points_are_those_of_numpy(kind):
    expected = np.interp(np.arange(1, 200), *np.array(ONE_CYCLE).T)
    found = curve(kind, 199, points=ONE_CYCLE)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_half_a_cosine_follows_a_linear_warmup():
    found = curve(CosineUpdates, 120, peak=2.0, end=100, lowest=0.5, warmup=20)
    for update, rate in enumerate(found, start=1):
        if update <= 20:
            expected = 2.0 * update / 20
        elif update <= 100:
            share = (update - 20) / 80
            expected = 0.5 + 1.5 * (1 + math.cos(math.pi * share)) / 2
        else:
            expected = 0.5
        assert rate == pytest.approx(expected, rel=1e-12)


def test_a_restored_scheduler_goes_on_as_if_never_stopped():
    expected = curve(PiecewiseLinear, 60, points=ONE_CYCLE)
    weight = torch.nn.Parameter(torch.zeros(()))
    first = PiecewiseLinear(torch.optim.SGD([weight], lr=1.0), ONE_CYCLE)
    for _ in range(50):
        first.step()
    optimizer = torch.optim.SGD([weight], lr=1.0)
    second = PiecewiseLinear(optimizer, ONE_CYCLE)
    second.load_state_dict(first.state_dict())
    assert optimizer.param_groups[0]["lr"] == expected[50]


@pytest.mark.parametrize("points", [[], [[2, 1.0], [1, 2.0]], [[1, 1.0], [1, 2.0]]])
def test_points_that_do_not_rise_are_refused(points):
    with pytest.raises(OptionError, match="points"):
        curve(PiecewiseLinear, 1, points=points)


def test_a_warmup_longer_than_the_schedule_is_refused():
    with pytest.raises(OptionError, match="warmup 10"):
        curve(CosineUpdates, 1, peak=1.0, end=10, warmup=10)
