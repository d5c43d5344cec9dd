"""Label smoothing as an operation: the original's arrays, and the usual targets."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import LabelSmoothing, full_sum_loss
from espnet_ext.asr.loss.node_gradient import growth_fraction
from espnet_ext.asr.loss.smoothing import (
    SmoothingSchedule,
    smooth_gradient,
    smoothed_cross_entropy,
)
from espnet_ext.errors import OptionError
from tests.shared import shared_file

BLANK = 4


def random_logits(rows=6, classes=5):
    generator = torch.Generator().manual_seed(2)
    shape = (rows, classes)
    logits = torch.randn(shape, dtype=torch.float64, generator=generator)
    targets = torch.randint(0, classes, (rows,), generator=generator)
    return logits.requires_grad_(), targets


def reference_vectors():
    arrays = np.load(shared_file("reference/vectors/factorised_lsxx.npz"))
    logits = torch.tensor(arrays["label_logits"]).double().requires_grad_()
    emission = torch.tensor(arrays["emit_logit"]).double().requires_grad_()
    case = [
        torch.tensor(arrays[name]).long()
        for name in ("labels", "input_lens", "label_lens")
    ]
    return arrays, logits, emission, case


def valid_nodes(arrays):
    frames, positions = arrays["emit_logit"].shape[1:]
    frame_valid = np.arange(frames) < arrays["input_lens"][:, None]
    position_valid = np.arange(positions) <= arrays["label_lens"][:, None]
    return frame_valid[:, :, None, None] & position_valid[:, None, :, None]


def with_blank(label_log_probs, emission):
    labels = F.logsigmoid(emission).unsqueeze(-1) + label_log_probs
    return torch.cat([labels, F.logsigmoid(-emission).unsqueeze(-1)], dim=-1)


@pytest.mark.parametrize(
    "suffix, smoothing",
    [
        ("", {"scale": 0.0}),
        ("_ls", {"scale": 0.1}),
        ("_lsx", {"scale": 0.1, "excluded": BLANK}),
    ],
)
def test_reference_vectors_of_smoothing_with_blank(suffix, smoothing):
    arrays, logits, emission, case = reference_vectors()
    assert float(arrays["smoothing"]) == 0.1 and int(arrays["blank"]) == BLANK
    log_probs = with_blank(logits.log_softmax(-1), emission)
    log_probs.retain_grad()
    nll = full_sum_loss(smooth_gradient(log_probs, **smoothing), *case, blank=BLANK)
    nll.sum().backward()
    values = log_probs.detach().numpy() * valid_nodes(arrays)  # elsewhere zeros
    np.testing.assert_allclose(values, arrays["wb_log_probs"], atol=1e-9)
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-9)
    expected = arrays[f"grad_wb_log_probs{suffix}"]
    np.testing.assert_allclose(log_probs.grad, expected, atol=1e-9)


@pytest.mark.parametrize("suffix, scale", [("", 0.0), ("_lsxx", 0.1)])
def test_reference_vectors_of_smoothing_the_labels_alone(suffix, scale):
    arrays, logits, emission, case = reference_vectors()
    label_log_probs = logits.log_softmax(-1)
    label_log_probs.retain_grad()
    smoothed = smooth_gradient(label_log_probs, scale)
    # the stored gradient "before" and "after" smoothing are at its two sides
    full_sum_loss(with_blank(smoothed, emission), *case, blank=BLANK).sum().backward()
    expected = {
        f"grad_label_log_prob{suffix}": label_log_probs.grad,
        f"grad_label_logits{suffix}": logits.grad,
        "grad_emit_logit": emission.grad,
    }
    for name, ours in expected.items():
        np.testing.assert_allclose(ours, arrays[name], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.6])
def test_cross_entropy_has_the_target_of_the_definition(scale):
    logits, targets = random_logits()
    target_ND = torch.full((6, 5), scale / 4, dtype=torch.float64)
    target_ND[torch.arange(6), targets] = 1 - scale
    expected = -(target_ND * logits.log_softmax(-1)).sum(-1)
    loss = smoothed_cross_entropy(logits, targets, scale)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    again = smoothed_cross_entropy(logits.log_softmax(-1), targets, scale)
    torch.testing.assert_close(again, expected, rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(
        lambda x: smoothed_cross_entropy(x, targets, scale), logits
    )


def test_smoothing_the_gradient_of_cross_entropy_equals_smoothing_its_target():
    logits, targets = random_logits()
    loss = smoothed_cross_entropy(logits, targets, 0.1).sum()
    (by_target,) = torch.autograd.grad(loss, logits)
    log_probs = smooth_gradient(logits.log_softmax(-1), 0.1)
    by_gradient_loss = F.nll_loss(log_probs, targets, reduction="sum")
    (by_gradient,) = torch.autograd.grad(by_gradient_loss, logits)
    torch.testing.assert_close(by_gradient, by_target, rtol=1e-12, atol=1e-15)
    plain = F.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(by_gradient_loss, plain, rtol=1e-12, atol=0)
    assert abs(float((loss - plain).detach())) > 1e-3


def test_no_smoothing_is_cross_entropy_bit_for_bit():
    logits, targets = random_logits()
    targets[2] = -1
    plain = F.cross_entropy(logits, targets, ignore_index=-1, reduction="none")
    assert torch.equal(smoothed_cross_entropy(logits, targets), plain)
    assert smooth_gradient(logits, 0.0) is logits


def test_padded_targets_cost_nothing_and_have_no_gradient():
    logits, targets = random_logits()
    targets[2] = -1
    loss = smoothed_cross_entropy(logits, targets, 0.1)
    loss.sum().backward()
    assert loss[2] == 0 and (logits.grad[2] == 0).all() and (loss[0] > 0).all()


def test_any_axis_may_hold_the_classes():
    logits, _ = random_logits()
    weights = torch.rand(6, 5, dtype=torch.float64)
    grads = []
    for dim in (1, 0):
        x = logits.detach() if dim == 1 else logits.detach().T
        x = x.clone().requires_grad_()
        out = smooth_gradient(x, 0.3, dim=dim, excluded=1)
        out.backward(weights if dim == 1 else weights.T)
        grads.append(x.grad if dim == 1 else x.grad.T)
    assert torch.equal(*grads)
    assert torch.equal(grads[0][:, 1], weights[:, 1])
    assert not torch.isclose(grads[0][:, 0], weights[:, 0]).any()


def test_half_precision_mass_is_summed_in_single_precision():
    x = torch.zeros(1, 4096, dtype=torch.float16, requires_grad=True)
    smooth_gradient(x, 0.5).backward(torch.full_like(x, -1.0))
    # a uniform gradient has nothing to be smoothed
    torch.testing.assert_close(x.grad, torch.full_like(x, -1.0))


def test_schedules_of_the_experiments():
    """ls01a, lsx01b and lsxx01 of the original."""
    growing = SmoothingSchedule(0.1, schedule="growth")
    curve = [growing.at(1, growth_fraction(n, 2, 12)).scale for n in (2, 4, 8, 12)]
    assert curve == pytest.approx([0, 0.02, 0.06, 0.1])
    warmup = SmoothingSchedule(0.1, over="all_but_blank", schedule="warmup")
    assert warmup.at(15) == LabelSmoothing("lsx", 0.025)
    assert warmup.at(150) == LabelSmoothing("lsx", 0.1)
    assert SmoothingSchedule(0.1, over="labels").at(1) == LabelSmoothing("lsxx", 0.1)


def test_wrong_schedules_are_named_with_the_nearest_right_one():
    with pytest.raises(OptionError, match="did you mean warmup"):
        SmoothingSchedule(0.1, schedule="warm_up")
    with pytest.raises(OptionError, match="cross entropy has no blank"):
        SmoothingSchedule(0.1, over="labels", apply="target")
    with pytest.raises(OptionError, match="scale 1.5"):
        SmoothingSchedule(1.5)
    with pytest.raises(OptionError, match="warmup_epochs 0"):
        SmoothingSchedule(0.1, schedule="warmup", warmup_epochs=0)
