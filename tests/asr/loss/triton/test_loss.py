"""``FusedJointLoss`` on kernels, value and all gradients.

Against the scores written out with plain autograd, and, where options or masks come in,
against the same class in PyTorch, both in float64.
"""

import functools
import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet_ext.asr.loss import TOPOLOGIES, FusedJointLoss, full_sum_loss
from espnet_ext.asr.loss import fused as fused_module
from espnet_ext.asr.loss.node_gradient import GradientOptions, LabelSmoothing
from tests.asr.loss.joints import gradients, make_case, reference
from tests.asr.loss.triton.cases import DEVICE  # skips all of this without Triton

loss_module = importlib.import_module("espnet_ext.asr.loss.triton.loss")
Tiles = loss_module.Tiles

EXACT = 1e-10
WEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
ON_GPU = DEVICE == "cuda"


@pytest.fixture(autouse=True)
def kernels_are_used(monkeypatch):
    monkeypatch.setattr(fused_module, "use_kernels", lambda device: True)


def to(case, dtype, device=DEVICE):
    """The case with leaves of another format, as far as that has the values."""
    inputs = [x.detach().to(dtype).to(device).requires_grad_() for x in case.inputs]
    return case._replace(inputs=inputs)


def run(case, topology="rna", weights=WEIGHTS, backend="auto", **kwargs):
    """nll_B and gradients by the fused joint loss."""
    joint = FusedJointLoss(*case.inputs, **kwargs)
    nll_B = full_sum_loss(joint, *case.batch, topology, case.blank)
    weights = None if weights is None else weights.to(nll_B.device)
    return nll_B, gradients(nll_B, case.inputs, weights)


def in_torch(case, *args, **kwargs):
    """The same, not on kernels, in float64 on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_module, "use_kernels", lambda device: False)
        return run(to(case, torch.float64, "cpu"), *args, **kwargs)


def with_tiles(monkeypatch, tiles):
    function = functools.partial(loss_module.fused_joint_triton, tiles=tiles)
    monkeypatch.setattr(loss_module, "fused_joint_triton", function)


def assert_equal(ours, expected, tolerance=EXACT):
    """Losses and gradients equal, relative to the largest element of each tensor."""
    for a, b in zip((ours[0], *ours[1]), (expected[0], *expected[1])):
        a, b = a.detach().double().cpu(), b.detach().double()
        finite = torch.isfinite(b)
        assert torch.equal(torch.isfinite(a), finite)
        size = float(b[finite].abs().max()) if finite.any() else 1.0
        assert float((a - b)[finite].abs().amax() if finite.any() else 0.0) <= (
            tolerance * max(size, 1e-3)
        )


@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_value_and_all_gradients_equal_the_reference(topology, emission):
    case = make_case(emission=emission, vocabulary=20)
    ours = run(to(case, torch.float64), topology, emission=emission, skip_threshold=0.0)
    assert_equal(ours, reference(case, topology, WEIGHTS))


def test_kernels_are_what_is_tested(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(loss_module, "forward_pass", broken)
    with pytest.raises(ZeroDivisionError):
        run(to(make_case(), torch.float64))


@pytest.mark.parametrize("topology", ["rna", "rnnt", "label_loop_free"])
@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("smoothing", [None, "ls", "lsx", "lsxx"])
def test_smoothing_fastemit_and_label_scale(topology, emission, smoothing):
    options = GradientOptions(
        smoothing and LabelSmoothing(smoothing, 0.1), fastemit=0.05, label_scale=0.7
    )
    case = make_case(emission=emission)
    settings = {"emission": emission, "options": options}
    ours = run(to(case, torch.float64), topology, **settings)
    assert_equal(ours, in_torch(case, topology, **settings))


@pytest.mark.parametrize("activation", ["maxout", "tanh", "relu", "none"])
@pytest.mark.parametrize("mask", ["shared", "elementwise"])
@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
def test_dropout_masks_are_those_of_the_loss_in_torch(activation, mask, emission):
    """So forward and backward pass, which compute them apart, have the same."""
    case = make_case(activation=activation, emission=emission, readout=10)
    settings = dict(activation=activation, emission=emission, dropout_mask=mask)
    settings.update(label_dropout=0.4)
    ours, expected, plain = (
        function(value, "rna", generator=torch.Generator().manual_seed(5), **options)
        for function, value, options in (
            (run, to(case, torch.float64), settings),
            (in_torch, case, settings),
            (in_torch, case, {**settings, "label_dropout": 0.0}),
        )
    )
    assert_equal(ours, expected)
    assert not torch.equal(expected[0], plain[0]), "something was dropped"


@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_float32_is_exact_to_rounding(topology):
    case = to(make_case(vocabulary=50, readout=66), torch.float32)
    options = GradientOptions(LabelSmoothing("lsxx", 0.1))
    assert_equal(run(case, topology), in_torch(case, topology), 5e-6)
    ours = run(case, topology, options=options)
    assert_equal(ours, in_torch(case, topology, options=options), 5e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_half_precision_is_summed_up_in_float32(dtype, topology):
    """The oracle gets the same rounded values, so that only the last rounding differs.

    A GPU also rounds the readout and the gradient at the logits to this format.
    """
    case = to(make_case(vocabulary=50, readout=66), dtype)
    ours, expected = run(case, topology), in_torch(case, topology)
    assert ours[0].dtype == torch.float32
    assert all(x.dtype == dtype for x in ours[1])
    assert_equal(ours, expected, 0.05 if ON_GPU else 2**-8)
    assert_equal((ours[0], ()), expected, 0.01 if ON_GPU else 1e-6)


def test_large_loss_scale_does_not_overflow_float16():
    scale = 2.0**14
    case = to(make_case(), torch.float16)
    exact = in_torch(case, weights=None)[1][1] * scale
    joint = FusedJointLoss(*case.inputs)
    nll_B = full_sum_loss(joint, *case.batch, "rna", case.blank)
    (grad,) = torch.autograd.grad((nll_B * scale).sum(), case.inputs[1])
    there = exact.abs() < 60000  # the result itself is float16
    error = (grad.double().cpu() - exact).abs()[there].max()
    assert float(error) < 2**-9 * float(exact.abs().max())


def test_float32_weights_with_half_precision_projections_as_under_autocast():
    case = to(make_case(), torch.float32)
    for index in range(2):
        case.inputs[index] = case.inputs[index].detach().bfloat16().requires_grad_()
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        ours = run(case)
    assert [g.dtype for g in ours[1]] == [torch.bfloat16] * 2 + [torch.float32] * 4
    assert_equal(ours, in_torch(case), 0.05 if ON_GPU else 2**-8)


@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_sequence_without_alignment_costs_inf_and_has_no_gradient(topology):
    case = to(make_case((2, 0, 1), (3, 0, 0)), torch.float64)
    nll_B, grads = run(case, topology)
    assert bool(torch.isinf(nll_B[0])) == (topology == "rna")
    assert nll_B[1].item() == 0.0, "no frames, no labels: one empty alignment"
    assert all(torch.isfinite(g).all() for g in grads)
    if topology == "rna":
        assert not grads[0][0].any() and grads[0][2].any()
    assert_equal((nll_B, grads), in_torch(case, topology))


def test_batch_without_any_labels():
    case = make_case((4, 2), (0, 0))
    weights = WEIGHTS[:2]
    expected = reference(case, "rna", weights)
    assert_equal(run(to(case, torch.float64), weights=weights), expected)


def test_vocabulary_of_blank_alone():
    case = to(make_case((4, 2), (0, 0), vocabulary=2, blank=0), torch.float64)
    for index in (2, 3):  # weight and bias of a softmax without units
        case.inputs[index] = case.inputs[index].detach()[:0].requires_grad_()
    nll_B, grads = run(case, weights=WEIGHTS[:2])
    sums = case.inputs[0][:, :, 0::2] + case.inputs[1][:, :, 0::2]
    odd = case.inputs[0][:, :, 1::2] + case.inputs[1][:, :, 1::2]
    emission = torch.nn.functional.linear(torch.maximum(sums, odd), *case.inputs[4:])
    blank_BT = torch.nn.functional.softplus(emission).squeeze(2)
    expected = torch.stack([blank_BT[0].sum(), blank_BT[1, :2].sum()]).detach()
    assert_equal((nll_B, ()), (expected.cpu(), ()), 1e-12)
    assert all(torch.isfinite(x).all() for x in grads)


def test_empty_batch():
    case = to(make_case(), torch.float64)
    inputs = [x.detach()[:0].requires_grad_() for x in case.inputs[:2]]
    batch = [x[:0] for x in case.batch]
    nll_B = FusedJointLoss(*inputs, *case.inputs[2:]).full_sum(*batch, "rna", 2)
    assert nll_B.shape == (0,)
    grads = torch.autograd.grad(nll_B.sum(), [*inputs, *case.inputs[2:]])
    assert all(not g.any() for g in grads)


@pytest.mark.parametrize("tiles", [Tiles(7, 64), Tiles(16, 130)])
def test_cutting_into_tiles_changes_nothing(monkeypatch, tiles):
    case = to(make_case(vocabulary=150), torch.float64)
    settings = dict(label_dropout=0.3, dropout_mask="elementwise")

    def once():
        return run(case, generator=torch.Generator().manual_seed(3), **settings)

    whole = once()
    with_tiles(monkeypatch, tiles)
    parts = once()
    cpu = [x.detach().cpu() for x in (whole[0], *whole[1])]
    assert_equal(parts, (cpu[0], cpu[1:]), 1e-12)


def test_same_input_gives_the_same_bits():
    case = to(make_case(vocabulary=50), torch.float32)
    first, second = run(case, "rnnt"), run(case, "rnnt")
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1]))


def test_only_wanted_gradients_are_given():
    case = to(make_case(), torch.float64)
    inputs = [x.detach().requires_grad_(i == 1) for i, x in enumerate(case.inputs)]
    full_sum_loss(
        FusedJointLoss(*inputs), *case.batch, "rna", case.blank
    ).sum().backward()
    assert [x.grad is not None for x in inputs] == [i == 1 for i in range(6)]


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that an operation returns."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.numel() * x.element_size())
        return result


def test_no_tensor_has_the_extents_of_nodes_and_labels(monkeypatch):
    frames, labels = 20, 200
    case = make_case((frames, frames), (3, 0), vocabulary=labels + 1, readout=4)
    case = to(case, torch.float32)
    with_tiles(monkeypatch, Tiles(32, 64))
    with LargestTensor() as largest:
        run(case, "rnnt", weights=None)
    nodes = frames * (4 + 1)
    weight = labels * 64 * 4  # filled up to 64 columns
    assert weight < nodes * labels * 4
    assert largest.size <= weight
