"""Forms of the readout that ``orig`` has."""

import math

import pytest
import torch

from espnet_ext.asr.joint.maxout_readout import MaxoutReadout
from espnet_ext.asr.joint.readout_step import ReadoutStep
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


@pytest.mark.parametrize("column", ["matching", "misplaced"])
@pytest.mark.parametrize("frames_in_use", [None, 2])
def test_the_step_of_a_search_is_the_same_function(column, frames_in_use):
    torch.manual_seed(0)
    attention = {"key_size": 3}
    joint = MaxoutReadout(5, 4, 3, 6, attention=attention, blank_column=column).eval()
    joint.use_frame_size(frames_in_use)
    step = ReadoutStep(joint)
    with torch.no_grad():
        am = joint.project_frames(torch.randn(1, 1, 4))[:, 0]
        prediction = torch.randn(2, 3)
        expected = joint(am, joint.project_prediction(prediction))
        torch.testing.assert_close(step(am, step.project(prediction)), expected)


@pytest.mark.parametrize("attention", [{"key_size": 3}, None])
@pytest.mark.parametrize("frames_in_use", [None, 2])
def test_projected_frames_are_the_same_with_and_without_a_gradient(
    attention, frames_in_use
):
    """Bounds: the order of additions; a rounding step of bfloat16 under autocast."""
    torch.manual_seed(1)
    joint = MaxoutReadout(5, 4, 3, 6, attention=attention).eval()
    torch.nn.init.normal_(joint.readout_bias)
    joint.use_frame_size(frames_in_use)
    frames, lengths = torch.randn(3, 5, 4), torch.tensor([5, 5, 2])
    expected = joint.project_frames(frames, lengths)
    assert expected.requires_grad
    with torch.no_grad():
        found = joint.project_frames(frames, lengths)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        with torch.autocast("cpu", torch.bfloat16):
            found = joint.project_frames(frames, lengths)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_dropout_without_a_gradient_is_still_dropout():
    torch.manual_seed(0)
    joint = MaxoutReadout(5, 4, 3, 6, input_dropout=0.5).train()
    frames = torch.randn(1, 3, 4)
    with torch.no_grad():
        one, other = (joint.project_frames(frames) for _ in range(2))
    assert not torch.equal(one, other)


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
