"""regime_conf: those of all experiments parse; mistakes are named."""

import pytest

from espnet_ext.errors import OptionError
from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.resolve import resolve
from espnet_ext.train.regime import Regime, parse_regime
from tests.experiments.names import original_names
from tests.shared import REPOSITORY


def schedule(*sizes):
    return [{"from_epoch": first, "max_frames": frames} for first, frames in sizes]


@pytest.mark.slow
def test_the_regime_of_every_experiment_parses():
    conf = find_conf(REPOSITORY / "conf")
    regimes = [
        parse_regime(resolve(name, conf=conf).config["regime_conf"])
        for name in original_names()
    ]
    assert len(regimes) == 152
    assert all(regime.segments_per_chunk == 6000 for regime in regimes)


def test_no_regime_is_espnets_behaviour():
    assert parse_regime(None) == parse_regime({}) == Regime()


def test_the_entry_of_the_batch_schedule_holds_until_the_next():
    regime = parse_regime({"batch_schedule": schedule((1, 20000), (13, 12000))})
    frames = [regime.batch_size(epoch).max_frames for epoch in (1, 12, 13, 99)]
    assert frames == [20000, 20000, 12000, 12000]
    assert parse_regime({}).batch_size(1) is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_label": 75}, "did you mean 'max_labels'"),
        ({"rollback": {"last": 3}}, "regime_conf.rollback has no option 'last'"),
        ({"batch_schedule": schedule((1, 0))}, "positive"),
        ({"batch_schedule": [{"from_epoch": 1}]}, "max_frames"),
        ({"batch_schedule": schedule((5, 100))}, "1 first"),
        ({"batch_schedule": schedule((1, 100), (1, 50))}, "rising"),
        ({"segment_order": "random"}, "shuffled_sorted_in_chunks"),
        ({"reset_optimizer": "always"}, "at_growth"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        parse_regime(options)
