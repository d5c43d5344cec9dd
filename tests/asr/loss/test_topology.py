"""Topologies: which alignments exist, where they go, and how many there are."""

import pytest
import torch

from espnet_ext.asr.loss import TOPOLOGIES, get_topology
from espnet_ext.asr.loss.lattice import band_mask
from espnet_ext.asr.loss.probe import number_of_alignments
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import TOPOLOGY_NAMES, alignments, enumerate_all

LABELS = ([], [1], [1, 1], [1, 2], [2, 2, 2], [1, 2, 2], [2, 1, 2], [1, 2, 3, 3])


def every_small_sequence():
    for labels in LABELS:
        for frames in range(6):
            yield frames, labels


def as_batch(labels):
    """Labels [1, L] with padding that equals the last one."""
    return torch.tensor([labels + labels[-1:] * 2]).long()


def test_all_topologies_are_enumerated_here():
    assert tuple(TOPOLOGIES) == TOPOLOGY_NAMES


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_a_sequence_is_feasible_where_any_alignment_exists(name):
    for frames, labels in every_small_sequence():
        lengths = torch.tensor([frames]), torch.tensor([len(labels)])
        feasible = get_topology(name).feasible(*lengths, as_batch(labels))
        exists = any(True for _ in alignments(name, frames, labels, blank=0))
        assert feasible.tolist() == [exists], (frames, labels)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_the_band_is_the_set_of_nodes_that_any_alignment_visits(name):
    for frames, labels in every_small_sequence():
        lengths = torch.tensor([frames]), torch.tensor([len(labels)])
        shape = frames + 1, len(labels) + 3
        mask = band_mask(*lengths, name, as_batch(labels), shape)[0]
        nodes = enumerate_all(torch.zeros(*shape, 4), name, frames, labels, 0).nodes_TS
        assert mask.tolist() == nodes.tolist(), (frames, labels)
        # without the labels it may have nodes too many, never too few
        wider = band_mask(*lengths, name, lattice=shape)[0]
        assert (wider | ~mask).all()


def test_the_band_of_a_batch_has_the_size_of_its_longest_sequence():
    mask = band_mask(torch.tensor([4, 2]), torch.tensor([1, 2]), "rna")
    assert mask.shape == (2, 4, 3)
    assert mask[1].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_the_closed_form_counts_the_alignments_of_different_labels(name):
    for frames in range(1, 7):
        for count in range(0, 5):
            labels = list(range(1, count + 1))
            expected = sum(1 for _ in alignments(name, frames, labels, blank=0))
            found = number_of_alignments(get_topology(name), frames, count)
            assert found == expected, (frames, count)


@pytest.mark.parametrize("name", ["ctc", "label_loop"])
def test_a_topology_that_depends_on_the_labels_asks_for_them(name):
    with pytest.raises(ValueError, match=f"{name} depends on the labels"):
        get_topology(name).feasible(torch.tensor([3]), torch.tensor([1]))


def test_a_mistyped_topology_names_the_nearest():
    with pytest.raises(OptionError, match="did you mean rnnt"):
        get_topology("rnn-t")
    topology = get_topology("rna")
    assert get_topology(topology) is topology
