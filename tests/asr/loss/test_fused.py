"""The fused loss against the same scores written out, with plain autograd."""

import math

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import TOPOLOGIES, FusedJointLoss, full_sum_loss
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.errors import OptionError
from tests.asr.loss.joints import gradients, make_case, reference

WEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def fused(case, topology="rna", weights=None, **kwargs):
    """nll_B and gradients, in tiles smaller than the lattice."""
    joint = FusedJointLoss(*case.inputs, **{"tile_nodes": 7, **kwargs})
    nll_B = full_sum_loss(joint, *case.batch, topology, case.blank)
    return nll_B, gradients(nll_B, case.inputs, weights)


def assert_equal(ours, expected, tolerance):
    """Losses and gradients equal relative to the largest element of each tensor."""
    for a, b in zip((ours[0], *ours[1]), (expected[0], *expected[1])):
        size = float(b.detach()[torch.isfinite(b)].abs().max()) if b.numel() else 1.0
        torch.testing.assert_close(
            a.double(), b.double(), rtol=0, atol=tolerance * max(size, 1e-3)
        )


@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_value_and_all_gradients_equal_the_reference(topology, emission):
    case = make_case(emission=emission)
    ours = fused(case, topology, WEIGHTS, emission=emission, skip_threshold=0.0)
    assert_equal(ours, reference(case, topology, WEIGHTS), 1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu", "none"])
def test_every_activation_equals_the_reference(activation):
    case = make_case(activation=activation)
    ours = fused(case, activation=activation, skip_threshold=0.0)
    assert_equal(ours, reference(case, "rna", activation=activation), 1e-10)


@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("topology", ["rna", "label_loop"])
def test_label_scale_equals_the_reference(topology, emission):
    case = make_case(emission=emission)
    options = GradientOptions(label_scale=0.6)
    ours = fused(case, topology, WEIGHTS, emission=emission, options=options)
    expected = reference(case, topology, WEIGHTS, label_scale=0.6)
    assert_equal(ours, expected, 1e-10)


def test_single_precision_equals_the_reference_in_double():
    case = make_case((30, 21), (9, 4), vocabulary=40, readout=64)
    single = case._replace(inputs=[x.detach().float().requires_grad_() for x in case.inputs])
    exact = case._replace(
        inputs=[x.detach().double().requires_grad_() for x in single.inputs]
    )
    assert_equal(fused(single), reference(exact, "rna"), 1e-5)
