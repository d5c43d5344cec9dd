"""Curves of the regimes against the numbers of the reference, and their pictures."""

import numpy as np
import pytest

from espnet_ext.errors import OptionError
from espnet_ext.experiments.estimate import estimate
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.picture import HEIGHT, curve
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.schedule import Growth, one_cycle, with_peak
from espnet_ext.schedulers.rates import expand

CONF = find_conf(REPOSITORY / "conf")


def rates(name):
    exp = resolve(name, conf=CONF)
    return expand([tuple(s) for s in exp.get("scheduler_conf.lr_segments")])


def test_the_one_cycle_curve_is_that_of_the_reference():
    """reference/parts.md 2.2, oclr, as numpy writes it."""
    ramp = np.linspace(1e-7, 1e-3, 10)
    expected = [*ramp, *ramp, *ramp, *np.linspace(1e-7, 1e-3, 45)]
    expected += [*np.linspace(1e-3, 1e-4, 45), *np.linspace(1e-4, 2e-5, 30)]
    assert rates("conformer_pre10_oclr") == pytest.approx(expected)
    long = rates("conformer_pre10_oclr_nep260_mlr1e_6")
    assert len(long) == 260 and long[-1] == 1e-6 and long[129] == pytest.approx(1e-3)


def test_one_cycle_without_room_is_refused():
    with pytest.raises(OptionError, match="at least 62"):
        one_cycle([(1e-7, 1e-3, 10)] * 3, 1e-3, 1e-5, 61)


def test_another_peak_moves_only_the_peaks():
    segments = [(1e-7, 1e-3, 10), (1e-4, 5e-4, 10), (5e-4, 1e-3, 20)]
    assert with_peak(segments, 3e-3) == [
        (1e-7, 3e-3, 10),
        (1e-4, 5e-4, 10),
        (5e-4, 3e-3, 20),
    ]


def test_growth_begins_each_stage_when_the_one_before_is_over():
    growth = Growth((2, 4, 8, 12), (10, 5, 5))
    assert growth.first_epochs() == [1, 11, 16, 21]
    assert [growth.layers_at(e) for e in (1, 10, 11, 20, 21, 999)] == [
        *(2, 2, 4, 8, 12, 12),
    ]


def test_the_picture_shows_the_curve():
    lines = curve([0.5, 1.0], 4)
    assert lines[0].startswith(" 1.0e+00 | █")
    assert lines[HEIGHT - 1].endswith("|██..")
    assert "from sub-epoch 3 on" in lines[-1]


@pytest.mark.parametrize(
    "given, epochs", [([], 0), ([], 3), ([0.0], 1), ([1.0] * 500, 7)]
)
def test_no_curve_is_too_odd_for_a_picture(given, epochs):
    assert len(curve(given, epochs)) >= HEIGHT


def test_the_time_estimate_is_calibrated_on_the_original_run():
    """61 minutes a sub-epoch on a GTX 1080 Ti, reference/training.md 9."""
    config = dict(resolve("orig", conf=CONF).config)
    cost = estimate(148_865_531, 136_897_888, config, 1031)
    assert cost.hours == pytest.approx(150 * 61 / 60, rel=0.1)
