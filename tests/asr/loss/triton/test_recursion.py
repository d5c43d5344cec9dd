"""The recursion as a kernel against the one in PyTorch, for every topology."""

import importlib

import pytest
import torch

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.lattice import occupancies
from espnet_ext.asr.loss.topology import TOPOLOGIES
from tests.asr.loss.triton.cases import DEVICE, triton  # skips without Triton

recursion = importlib.import_module("espnet_ext.asr.loss.triton.recursion").recursion


def check(labels_BL, frame_lens, label_lens, topology, scale=1.0):
    batch, positions = labels_BL.size(0), labels_BL.size(1) + 1
    frames = max(frame_lens, default=0)
    scores = scale * torch.randn(3, batch, frames, positions, dtype=torch.float64)
    arguments = labels_BL, torch.tensor(frame_lens), torch.tensor(label_lens)
    arguments = [x.to(DEVICE) for x in arguments]
    scores = ArcScores(*scores.to(DEVICE))
    ours = occupancies(scores, *arguments, topology, recursion=recursion)
    right = occupancies(scores, *arguments, topology)
    for name, a, b in zip(ours._fields, ours, right):
        if b is None:
            assert a is None
            continue
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13, msg=name)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_posteriors_equal_those_of_the_recursion_in_torch(topology):
    """Padded, with equal neighbours, without labels, and without any alignment."""
    labels = torch.tensor([[1, 1, 2], [3, 0, 0], [1, 2, 3], [0, 0, 0], [2, 2, 2]])
    check(labels, [6, 4, 2, 3, 3], [3, 1, 3, 0, 3], topology)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_scores_far_apart_stay_exact(topology):
    """Between the states of a row lie more nats than float64 has exponents."""
    check(torch.tensor([[1, 2, 1, 3]]), [7], [4], topology, scale=1000.0)


@pytest.mark.parametrize("topology", ["rna", "rnnt", "label_loop"])
def test_no_labels_at_all_and_no_frames(topology):
    check(torch.zeros(2, 0, dtype=torch.long), [3, 1], [0, 0], topology)
    check(torch.zeros(1, 1, dtype=torch.long), [0], [0], topology)
    check(torch.zeros(0, 2, dtype=torch.long), [], [], topology)


def test_more_states_than_one_warp_holds():
    labels = torch.arange(300)[None] % 7
    check(labels, [310], [300], "rna")
    assert triton.next_power_of_2(301) == 512
