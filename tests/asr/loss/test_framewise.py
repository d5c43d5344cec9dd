"""Framewise cost against the original's arrays, autograd and enumerated alignments."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.asr.loss import GradientOptions, LabelSmoothing
from espnet_ext.asr.loss.frame_context import frame_context
from espnet_ext.asr.loss.framewise import (
    factorised_framewise_cost,
    frame_errors,
    softmax_framewise_cost,
)
from espnet_ext.asr.loss.node_gradient import SMOOTHING_TYPES
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import enumerate_all
from tests.asr.loss.smoothing_by_definition import smoothed_by_definition
from tests.shared import shared_file

LENS = torch.tensor([6, 4])
K = 4


def random_inputs(classes=K):
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(2, 6, classes, dtype=torch.float64, generator=generator)
    emission = torch.randn(2, 6, dtype=torch.float64, generator=generator)
    alignment = torch.randint(0, K + 1, (2, 6), generator=generator)
    return logits.requires_grad_(), emission.requires_grad_(), alignment


def composed(logits, emission, blank, label_scale=1.0):
    """Log-probabilities [B, T, V] in the order of the symbols, differentiable."""
    labels = F.logsigmoid(emission).unsqueeze(-1) + label_scale * logits.log_softmax(-1)
    parts = [
        labels[..., :blank],
        F.logsigmoid(-emission).unsqueeze(-1),
        labels[..., blank:],
    ]
    return torch.cat(parts, dim=-1)


def by_autograd(log_probs, alignment, focal_factor):
    """Cost of each frame by the formula, gradient by autograd."""
    log_p = log_probs.gather(-1, alignment.unsqueeze(-1)).squeeze(-1)
    cost = (1 - log_p.exp()) ** focal_factor * -log_p
    return cost * (torch.arange(6) < LENS.unsqueeze(1))


def test_reference_vectors_of_the_focal_loss():
    arrays = np.load(shared_file("reference/vectors/focal_ce.npz"))
    alignment = torch.tensor(arrays["align"]).long()
    lens = torch.tensor(arrays["input_lens"])
    focal = {"focal_factor": float(arrays["focal_loss_factor"])}
    for options, cost_name, grad_name in (
        ({}, "ce_per_frame", "grad_logits_plain_ce"),
        (focal, "focal_per_frame", "grad_logits"),
    ):
        logits = torch.tensor(arrays["logits"]).double().requires_grad_()
        cost = softmax_framewise_cost(logits, alignment, lens, blank=4, **options)
        cost.sum().backward()
        np.testing.assert_allclose(cost.detach(), arrays[cost_name], atol=1e-9)
        np.testing.assert_allclose(logits.grad, arrays[grad_name], atol=1e-9)
    np.testing.assert_allclose(cost.detach().sum(1), arrays["loss"], rtol=1e-9)


@pytest.mark.parametrize("blank", [0, 2, K])
@pytest.mark.parametrize("focal_factor", [0.0, 0.5, 1.0, 2.0, 3.5])
def test_value_and_gradient_equal_autograd_of_the_formula(focal_factor, blank):
    for label_scale in (1.0, 0.7):
        logits, emission, alignment = random_inputs()
        options = GradientOptions(label_scale=label_scale)
        cost = factorised_framewise_cost(
            logits,
            emission,
            alignment,
            LENS,
            blank,
            focal_factor=focal_factor,
            options=options,
        )
        weights = torch.rand(2, 6, dtype=torch.float64)
        ours = torch.autograd.grad((cost * weights).sum(), (logits, emission))
        log_probs = composed(logits, emission, blank, label_scale)
        expected = by_autograd(log_probs, alignment, focal_factor)
        theirs = torch.autograd.grad((expected * weights).sum(), (logits, emission))
        torch.testing.assert_close(cost, expected, rtol=1e-12, atol=1e-15)
        for a, b in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", SMOOTHING_TYPES)
def test_smoothing_changes_the_gradient_as_defined_and_not_the_value(kind):
    smoothing = LabelSmoothing(kind, 0.2)
    options = GradientOptions(smoothing)
    logits, emission, alignment = random_inputs()
    cost = factorised_framewise_cost(
        logits, emission, alignment, LENS, K, focal_factor=2.0, options=options
    )
    ours = torch.autograd.grad(cost.sum(), (logits, emission))
    log_probs = composed(logits, emission, K)
    leaf = log_probs.detach().requires_grad_()
    plain = by_autograd(leaf, alignment, 2.0)
    torch.testing.assert_close(cost, plain, rtol=1e-12, atol=1e-15)
    (gradient,) = torch.autograd.grad(plain.sum(), leaf)
    smoothed = torch.tensor(smoothed_by_definition(gradient.numpy(), smoothing))
    theirs = torch.autograd.grad(log_probs, (logits, emission), smoothed)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("focal_factor", [0.0, 2.0])
def test_gradient_equals_finite_differences(focal_factor):
    logits, emission, alignment = random_inputs()
    assert torch.autograd.gradcheck(
        lambda z, e: factorised_framewise_cost(
            z, e, alignment, LENS, 1, focal_factor=focal_factor
        ),
        (logits, emission),
    )


@given(
    seed=st.integers(0, 2**31),
    frames=st.integers(1, 5),
    labels=st.integers(0, 3),
    vocabulary=st.integers(2, 4),
    topology=st.sampled_from(["rna", "label_loop"]),
    data=st.data(),
)
def test_ce_on_viterbi_path_equals_its_score(
    seed, frames, labels, vocabulary, topology, data
):
    """The best path is found by enumeration; its frames scored in their contexts."""
    blank = data.draw(st.integers(0, vocabulary - 1))
    generator = torch.Generator().manual_seed(seed)
    shape = frames, labels + 1, vocabulary
    logits = torch.randn(shape, dtype=torch.float64, generator=generator)
    text = torch.randint(0, vocabulary - 1, (labels,), generator=generator)
    text = (text + (text >= blank).long()).tolist()
    result = enumerate_all(logits.log_softmax(-1), topology, frames, text, blank)
    if not result.best:
        return
    alignment = torch.tensor([result.best])
    lens = torch.tensor([frames])
    context = frame_context(alignment, lens, blank, topology)
    assert context.labels_BL.tolist() == [text]
    seen = logits[torch.arange(frames), context.position_BT[0]]
    cost = softmax_framewise_cost(seen.unsqueeze(0), alignment, lens, blank)
    assert float(cost.sum()) == pytest.approx(-result.best_score, rel=1e-12, abs=1e-12)


def test_neutral_options_equal_absent_ones_bit_for_bit():
    results = []
    for options in (None, GradientOptions(LabelSmoothing("lsx", 0.0))):
        logits, emission, alignment = random_inputs()
        cost = factorised_framewise_cost(
            logits, emission, alignment, LENS, options=options
        )
        cost.sum().backward()
        results.append((cost, logits.grad, emission.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_padding_costs_nothing_and_may_hold_anything():
    logits, emission, alignment = random_inputs()
    cost = factorised_framewise_cost(logits, emission, alignment, LENS)
    alignment[1, 4:] = -1
    again = factorised_framewise_cost(logits, emission, alignment, LENS)
    assert torch.equal(cost, again) and (cost[1, 4:] == 0).all()
    again.sum().backward()
    assert (logits.grad[1, 4:] == 0).all() and (emission.grad[1, 4:] == 0).all()


@pytest.mark.parametrize("focal_factor", [0.5, 1.0, 2.0])
def test_a_certain_frame_has_no_cost_and_a_finite_gradient(focal_factor):
    logits = torch.tensor([[[100.0, 0.0], [0.0, 100.0]]], requires_grad=True)
    cost = softmax_framewise_cost(
        logits,
        torch.zeros(1, 2, dtype=torch.long),
        torch.tensor([2]),
        focal_factor=focal_factor,
    )
    cost.sum().backward()
    assert cost[0].tolist() == [0.0, pytest.approx(100.0)]
    assert torch.isfinite(logits.grad).all() and (logits.grad[0, 0] == 0).all()


def test_frame_errors_count_the_wrong_best_symbols_of_valid_frames():
    log_probs = torch.tensor([[0, 1, 2, 2], [1, 1, 0, 0]])
    log_probs = F.one_hot(log_probs, 3).float()
    alignment = torch.tensor([[0, 2, 2, 1], [1, 0, 1, 1]])
    lens = torch.tensor([4, 2])
    assert frame_errors(log_probs, alignment, lens).tolist() == [2, 1]


def test_half_precision_logits_have_a_single_precision_cost():
    logits, emission, alignment = random_inputs()
    half = logits.detach().bfloat16().requires_grad_(), emission.detach().bfloat16()
    cost = factorised_framewise_cost(*half, alignment, LENS, focal_factor=2.0)
    exact = factorised_framewise_cost(
        half[0].double(), half[1].double(), alignment, LENS, focal_factor=2.0
    )
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost.double(), exact, rtol=1e-5, atol=1e-6)
    cost.sum().backward()
    assert half[0].grad.dtype == torch.bfloat16


def test_wrong_symbols_shapes_and_options_are_named():
    logits, emission, alignment = random_inputs()
    with pytest.raises(OptionError, match="symbol 6 is outside"):
        factorised_framewise_cost(logits, emission, alignment * 0 + 6, LENS)
    with pytest.raises(OptionError, match="no FastEmit"):
        options = GradientOptions(fastemit=0.1)
        factorised_framewise_cost(logits, emission, alignment, LENS, options=options)
    with pytest.raises(OptionError, match="focal factor -1"):
        factorised_framewise_cost(logits, emission, alignment, LENS, focal_factor=-1)
    with pytest.raises(ValueError, match="expected"):
        softmax_framewise_cost(logits, alignment[:, :3], LENS)
