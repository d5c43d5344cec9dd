"""Block-wise scores equal those of the whole distribution, for blocks of any size."""

import pytest
import torch

from espnet_ext.alignment.scores import frame_arcs, joint_arcs
from espnet_ext.asr.loss import FusedJointLoss
from espnet_ext.asr.loss.dense import arc_index, arc_scores
from espnet_ext.asr.loss.lattice import band_mask
from espnet_ext.asr.loss.topology import get_topology
from tests.asr.loss.paths import TOPOLOGY_NAMES

LABELS = torch.tensor([[1, 2, 2], [3, 1, 0]])
LENGTHS = torch.tensor([7, 5]), torch.tensor([3, 2])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def equal_in_band(ours, expected, topology):
    """All nodes that any alignment visits; others may hold anything."""
    band = band_mask(*LENGTHS, topology, LABELS, ours.blank_BTS.shape[1:])
    assert int(band.sum()) > 10
    # no label follows the last position, and none can be repeated in the first one
    positions_S = torch.arange(ours.blank_BTS.size(2))
    more = band & (positions_S < LENGTHS[1][:, None])[:, None]
    parts = band, more, band & (positions_S > 0)
    for left, right, where in zip(ours, expected, parts):
        assert (left is None) == (right is None)
        if left is not None:
            torch.testing.assert_close(
                left[where].double(), right[where].double(), rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize("block", [1, 17, 10**6])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_arcs_of_a_joint_do_not_depend_on_the_block(name, block):
    am, lm, weight = draw(2, 7, 4), draw(2, 4, 4, seed=1), draw(5, 4, seed=2)
    joint = lambda a, b: torch.tanh(a + b) @ weight.T  # noqa: E731
    topology = get_topology(name)
    index = arc_index(LABELS, LENGTHS[1])
    whole = joint(am.unsqueeze(2), lm.unsqueeze(1)).log_softmax(-1)
    expected = arc_scores(whole, index, topology, 0)
    ours = joint_arcs(am, lm, joint, 5, LABELS, LENGTHS[1], name, block=block)
    equal_in_band(ours, expected, topology)


@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_arcs_of_the_fused_joint_are_those_of_its_formula(name, emission):
    am, lm = draw(2, 7, 8), draw(2, 4, 8, seed=1)
    sigmoid = emission == "sigmoid"
    weight, bias = draw(4 if sigmoid else 5, 4, seed=2), draw(5, seed=3)
    bias = bias[: len(weight)]
    gate = (draw(1, 4, seed=4), draw(1, seed=5)) if sigmoid else (None, None)
    joint = FusedJointLoss(
        *(am, lm, weight, bias, *gate), emission=emission, label_dropout=0.5
    )
    readout = (am.unsqueeze(2) + lm.unsqueeze(1)).unflatten(-1, (-1, 2)).amax(-1)
    labels = (readout @ weight.T + bias).log_softmax(-1)
    if sigmoid:
        e = readout @ gate[0].T + gate[1]
        logsigmoid = torch.nn.functional.logsigmoid
        labels = torch.cat([logsigmoid(-e), logsigmoid(e) + labels], dim=-1)
    topology = get_topology(name)
    expected = arc_scores(labels, arc_index(LABELS, LENGTHS[1]), topology, 0)
    equal_in_band(joint.arc_scores(LABELS, *LENGTHS, name), expected, topology)


@pytest.mark.parametrize("block", [1, 30, 10**6])
def test_arcs_of_a_ctc_layer_with_a_prior_do_not_depend_on_the_block(block):
    frames, weight, prior = draw(2, 7, 3), draw(5, 3, seed=1), draw(5, seed=2)
    project = lambda x: x @ weight.T  # noqa: E731
    whole = project(frames).log_softmax(-1) - prior
    topology = get_topology("ctc")
    expected = arc_scores(whole, arc_index(LABELS, LENGTHS[1]), topology, 0)
    ours = frame_arcs(
        *(frames, project, 5, LABELS, LENGTHS[1], "ctc"),
        log_prior_C=prior,
        block=block,
    )
    equal_in_band(ours.arcs(), expected, topology)
