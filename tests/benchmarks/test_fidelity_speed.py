"""What the benchmark of the original's peculiarities compares."""

import pytest

from benchmarks.fidelity_speed import EXPERIMENTS, configuration
from espnet_ext.experiments.fidelity import CHOICES, load_table
from espnet_ext.experiments.settings import leaves


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_only_peculiarities_differ(name):
    original, corrected = (
        dict(leaves(configuration(name, choice))) for choice in CHOICES
    )
    differing = {
        path
        for path in {*original, *corrected}
        if original.get(path) != corrected.get(path)
        and not path.startswith("experiment_conf.")
    }
    known = {path for row in load_table().options.values() for path in row.paths}
    assert "encoder_conf.dropout_mask" in differing and differing <= known
