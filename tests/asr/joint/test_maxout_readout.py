"""Forms of the readout that ``orig`` has."""

import math

import pytest
import torch

from espnet_ext.asr.joint.maxout_readout import MaxoutReadout
from tests.asr.tiny import tiny_batch, tiny_model


def test_a_misplaced_blank_exchanges_two_columns_and_sums_to_one():
    torch.manual_seed(0)
    joint = MaxoutReadout(5, 4, 3, readout_size=6).eval()
    am, lm = torch.randn(2, 6), torch.randn(2, 6)
    right = joint(am, lm)
    joint.blank_column = "misplaced"
    wrong = joint(am, lm)
    torch.testing.assert_close(wrong.exp().sum(1), torch.ones(2))
    torch.testing.assert_close(wrong[:, [4, 1, 2, 3, 0]], right)


def test_the_loss_with_a_misplaced_blank_is_that_of_its_log_probabilities():
    """By enumeration: one label in two frames, and it may be emitted in either."""
    model = tiny_model().eval()
    model.joint_network.blank_column = "misplaced"
    am = torch.randn(1, 2, 8)
    labels = torch.tensor([[2]])
    nll = model.transducer_nll(am, torch.tensor([2]), labels, torch.tensor([1]))
    lm = model.decoder(torch.tensor([[0, 2]]))
    p = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))[0].exp()  # [T, S, V]
    paths = p[0, 0, 2] * p[1, 1, 0] + p[0, 0, 0] * p[1, 0, 2]
    torch.testing.assert_close(nll[0], -paths.log())
    loss, _, _ = model(**tiny_batch())
    assert torch.isfinite(loss)


def test_a_single_matrix_is_drawn_with_the_limit_of_all_its_inputs():
    torch.manual_seed(0)
    attention = {"key_size": 3}
    for kind, inputs in (("single", (350, 350)), ("separate", (200, 150))):
        joint = MaxoutReadout(
            5, 100, 150, 400, attention=attention, readout_matrix=kind
        )
        for part, count in zip((joint.readout_am, joint.readout_lm), inputs):
            limit = math.sqrt(6 / (count + 400))
            largest = float(part.weight.abs().max().detach())
            assert 0.99 * limit < largest <= limit


@pytest.mark.parametrize("option", ["readout_matrix", "blank_column"])
def test_unknown_forms_are_named(option):
    with pytest.raises(ValueError, match=f"{option} 'x'"):
        MaxoutReadout(5, 4, 3, **{option: "x"})
