"""Walks, stretches of time and back, over all alignments of small cases."""

import numpy as np
import pytest

from espnet_ext.alignment.paths import (
    Run,
    label_times,
    labels_of,
    runs,
    symbols_of,
    walk,
)
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.errors import FormatError
from tests.asr.loss.paths import TOPOLOGY_NAMES, alignments

CASES = [(5, [1, 2]), (5, [1, 1]), (4, [2, 2, 1]), (3, []), (0, []), (4, [1])]


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_every_alignment_survives_the_way_over_stretches_of_time(name):
    topology = get_topology(name)
    seen = 0
    for frames, labels in CASES:
        for path in alignments(name, frames, labels, 0):
            symbols = [step.symbol for step in path]
            steps, total = walk(symbols, labels, frames, topology, 0)
            assert total == 0.0 and len(steps) == len(symbols)
            found = runs(steps, labels, topology)
            back = symbols_of(found, frames, topology, 0)
            assert back.tolist() == symbols and back.dtype == np.int32
            times = label_times(steps, labels, topology)
            assert (times[:, 1] > times[:, 0]).all()
            assert (np.diff(times[:, 0]) >= 0).all()
            seen += 1
    assert seen > 20


@pytest.mark.parametrize("name", ["rna", "rnnt", "ctc", "label_loop"])
def test_symbols_tell_their_labels(name):
    for frames, labels in CASES:
        for path in alignments(name, frames, labels, 0):
            symbols = [step.symbol for step in path]
            assert labels_of(symbols, get_topology(name), 0) == labels


def test_a_free_loop_does_not_tell_its_labels():
    with pytest.raises(FormatError, match="give the label sequences"):
        labels_of([1, 1], get_topology("label_loop_free"), 0)


def test_labels_of_one_frame_share_it_where_they_take_none():
    topology = get_topology("rnnt")
    steps, _ = walk([1, 2, 0, 0, 1, 0], [1, 2, 1], 3, topology, 0)
    expected = [Run(1, 0.0, 0.5), Run(2, 0.5, 1.0), Run(1, 2.0, 3.0)]
    assert runs(steps, [1, 2, 1], topology) == expected


@pytest.mark.parametrize(
    "found", [[Run(1, 0, 2), Run(2, 1, 3)], [Run(1, 3, 5)], [Run(1, 1, 1)]]
)
def test_stretches_that_overlap_or_lie_outside_are_refused(found):
    with pytest.raises(FormatError, match="frame shift"):
        symbols_of(found, 4, get_topology("rna"), 0)


def test_symbols_that_are_no_alignment_are_refused():
    with pytest.raises(FormatError, match="no rna alignment of 2 labels"):
        walk([0, 1, 0], [1, 2], 3, get_topology("rna"), 0)
