"""The whole loss on kernels, with all gradients, against dense losses in float64."""

import dataclasses
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet_ext.asr.loss.node_gradient import GradientOptions, LabelSmoothing
from espnet_ext.asr.loss.reference import reference_loss
from espnet_ext.asr.loss.topology import TOPOLOGIES
from espnet_ext.errors import OptionError
from tests.asr.loss.triton.cases import (
    DEVICE,
    dense_logits,
    dense_loss,
    elementwise_dropout,
    gradients,
    of_dtype,
    random_inputs,
    relative_error,
    shared_dropout,
)

loss = pytest.importorskip("espnet_ext.asr.loss.triton.loss")
fused, JointOptions, Tiles = loss.fused_joint_triton, loss.JointOptions, loss.Tiles

# padded; the second row has no labels, equal labels are neighbours in the first
LABELS = torch.tensor([[4, 4, 17], [0, 0, 0]], device=DEVICE)
LENGTHS = [torch.tensor(x, device=DEVICE) for x in ([5, 3], [3, 0])]
TARGETS = LABELS, *LENGTHS
ALL_NODES = JointOptions(threshold=0.0)


def check(inputs, topology, options, targets=TARGETS, rtol=1e-10):
    """Value and gradients equal those of the dense losses."""
    exact = inputs.to(torch.float64)
    expected = dense_loss(exact, targets, topology, options)
    right = gradients(expected, exact)
    dtype = inputs.am_BTR.dtype
    options = dataclasses.replace(options, dropout=of_dtype(options.dropout, dtype))
    nll = fused(*inputs, *targets, topology, 0, options)
    ours = gradients(nll, inputs)
    finite = torch.isfinite(expected)
    assert torch.equal(torch.isfinite(nll), finite)
    if finite.any():
        assert relative_error(nll[finite], expected[finite]) < rtol
    for name, a, b in zip(inputs._fields, ours, right):
        assert a.dtype == dtype and torch.isfinite(a).all(), name
        assert relative_error(a, b) < rtol, name


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_value_equals_the_readable_reference(topology):
    inputs = random_inputs()
    logits, emission = dense_logits(inputs)
    emission = emission.unsqueeze(3)
    labels = torch.nn.functional.logsigmoid(emission) + logits.log_softmax(3)
    scores = torch.cat([torch.nn.functional.logsigmoid(-emission), labels], dim=3)
    expected = reference_loss(scores, *TARGETS, topology, 0)
    right = gradients(expected, inputs)
    nll = fused(*inputs, *TARGETS, topology, 0, ALL_NODES)
    assert relative_error(nll, expected) < 1e-12
    for a, b in zip(gradients(nll, inputs), right):
        assert relative_error(a, b) < 1e-10


@pytest.mark.parametrize("topology", ["rna", "rnnt"])
@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("smoothing", [None, "ls", "lsx", "lsxx"])
def test_smoothing_fastemit_and_label_scale(topology, emission, smoothing):
    gradient = GradientOptions(
        smoothing and LabelSmoothing(smoothing, 0.1), fastemit=0.05, label_scale=0.7
    )
    options = JointOptions(emission=emission, gradient=gradient, threshold=0.0)
    check(random_inputs(), topology, options)


@pytest.mark.parametrize("topology", ["label_loop", "label_loop_original"])
def test_smoothing_with_repeat_arcs(topology):
    gradient = GradientOptions(LabelSmoothing("lsxx", 0.1))
    check(random_inputs(), topology, JointOptions(gradient=gradient, threshold=0.0))


@pytest.mark.parametrize("activation", ["maxout", "tanh", "relu"])
@pytest.mark.parametrize("kind", ["shared", "elementwise"])
def test_dropout_is_the_same_in_forward_and_backward_pass(activation, kind):
    columns = 7
    dropout = shared_dropout(columns) if kind == "shared" else elementwise_dropout()
    inputs = random_inputs(columns=columns, activation=activation)
    options = JointOptions(activation, dropout=dropout, threshold=0.0)
    check(inputs, "rna", options)


@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_float32_is_exact_to_rounding(topology):
    inputs = random_inputs(columns=33, labels=50).to(torch.float32)
    check(inputs, topology, JointOptions(), rtol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_projections_are_summed_up_in_float32(dtype):
    """The oracle gets the same rounded values, so that only the last rounding differs.

    A GPU also rounds the readout and the gradient at the logits to this format.
    """
    inputs = random_inputs(columns=33, labels=50).to(dtype)
    on_gpu = DEVICE == "cuda"
    check(inputs, "rna", JointOptions(), rtol=0.05 if on_gpu else 2**-8)
    nll = fused(*inputs, *TARGETS, "rna", 0)
    expected = dense_loss(inputs.to(torch.float64), TARGETS, "rna", JointOptions())
    assert nll.dtype == torch.float32
    assert relative_error(nll, expected) < (0.01 if on_gpu else 1e-6)


def test_large_loss_scale_does_not_overflow_float16():
    inputs = random_inputs().to(torch.float16)
    scale = 2.0**14
    nll = fused(*inputs, *TARGETS, "rna", 0)
    plain = torch.autograd.grad(nll.sum(), inputs)
    nll = fused(*inputs, *TARGETS, "rna", 0)
    scaled = torch.autograd.grad((nll * scale).sum(), inputs.lm_BSR)
    wanted = plain[1].double() * scale
    there = wanted.abs() < 60000  # the result itself is float16
    assert relative_error(scaled[0][there], wanted[there]) < 2**-9


def test_float32_weights_with_half_precision_projections_as_under_autocast():
    inputs = random_inputs().to(torch.float32)
    projections = [x.detach().bfloat16().requires_grad_() for x in inputs[:2]]
    nll = fused(*projections, *inputs[2:], *TARGETS, "rna", 0)
    grads = torch.autograd.grad(nll.sum(), [*projections, *inputs[2:]])
    assert [g.dtype for g in grads] == [torch.bfloat16] * 2 + [torch.float32] * 4


@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_sequence_without_alignment_costs_inf_and_has_no_gradient(topology):
    lengths = [torch.tensor(x, device=DEVICE) for x in ([2, 0], [3, 0])]
    inputs = random_inputs(frames=2)
    nll = fused(*inputs, LABELS, *lengths, topology, 0)
    assert bool(torch.isinf(nll[0])) == (topology == "rna")
    assert float(nll[1]) == 0.0, "no frames, no labels: one empty alignment"
    grads = torch.autograd.grad(nll.sum(), inputs)
    assert all(torch.isfinite(g).all() for g in grads)
    if topology == "rna":
        assert not any(g.any() for g in grads)


def test_batch_without_any_labels():
    targets = LABELS[:, :0], LENGTHS[0], torch.zeros_like(LENGTHS[1])
    check(random_inputs(positions=1), "rna", ALL_NODES, targets)


def test_empty_batch():
    inputs = random_inputs(batch=0)
    targets = LABELS[:0], LENGTHS[0][:0], LENGTHS[1][:0]
    nll = fused(*inputs, *targets, "rna", 0)
    assert nll.shape == (0,)
    assert all(not g.any() for g in torch.autograd.grad(nll.sum(), inputs))


def test_blank_may_stand_anywhere_in_the_vocabulary():
    inputs = random_inputs()
    expected = fused(*inputs, *TARGETS, "rna", 0)
    blank = 9
    labels = torch.where(LABELS <= blank, LABELS - 1, LABELS)
    nll = fused(*inputs, labels, *LENGTHS, "rna", blank)
    torch.testing.assert_close(nll, expected, rtol=1e-14, atol=0)


def test_cutting_into_tiles_changes_nothing():
    inputs = random_inputs(labels=150)
    dropout = elementwise_dropout()
    results = []
    for tiles in (Tiles(), Tiles(7, 64), Tiles(16, 130)):
        options = JointOptions(dropout=dropout, tiles=tiles, threshold=0.0)
        nll = fused(*inputs, *TARGETS, "rna", 0, options)
        results.append([nll, *gradients(nll, inputs)])
    for other in results[1:]:
        for a, b in zip(other, results[0]):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


def test_same_input_gives_the_same_bits():
    inputs = random_inputs(labels=50).to(torch.float32)
    runs = []
    for _ in range(2):
        nll = fused(*inputs, *TARGETS, "rnnt", 0)
        runs.append([nll, *gradients(nll, inputs)])
    assert all(torch.equal(a, b) for a, b in zip(*runs))


def test_padding_and_order_of_the_batch_change_nothing():
    inputs = random_inputs()
    nll = fused(*inputs, *TARGETS, "rna", 0)
    am, lm = (x.detach().flip(0).clone() for x in inputs[:2])
    am[0, 3:], lm[0, 1:] = 1e4, -1e4
    other = fused(am, lm, *inputs[2:], *(x.flip(0) for x in TARGETS), "rna", 0)
    torch.testing.assert_close(other.flip(0), nll, rtol=1e-13, atol=0)


def test_leaving_out_unlikely_nodes_changes_less_than_the_threshold_promises():
    """Each node left out had a gradient of at most its posterior, times its inputs."""
    inputs = random_inputs(frames=8)
    inputs.emission_weight_1J.data *= 5.0
    targets = LABELS, torch.tensor([8, 6], device=DEVICE), LENGTHS[1]
    nll = fused(*inputs, *targets, "rna", 0, ALL_NODES)
    right = gradients(nll, inputs)
    previous = 0.0
    for threshold in (1e-7, 1e-3):
        options = JointOptions(threshold=threshold)
        ours = gradients(fused(*inputs, *targets, "rna", 0, options), inputs)
        error = float((ours[3] - right[3]).abs().max())  # at the label bias
        assert error <= threshold * 2 * 8 * 4
        assert error >= previous
        previous = error
    assert previous > 0.0, "the larger threshold leaves something out"


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that an operation returns."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.numel() * x.element_size())
        return result


def test_no_tensor_has_the_extents_of_nodes_and_labels():
    frames, labels = 20, 200
    inputs = random_inputs(frames=frames, labels=labels).to(torch.float32)
    targets = LABELS, torch.tensor([frames, frames], device=DEVICE), LENGTHS[1]
    options = JointOptions(tiles=Tiles(32, 64), threshold=0.0)
    with LargestTensor() as largest:
        fused(*inputs, *targets, "rnnt", 0, options).sum().backward()
    nodes = frames * (4 + 1)
    weight = labels * 64 * 4  # filled up to 64 columns
    assert weight < nodes * labels * 4
    assert largest.size <= weight


def test_graph_is_freed_after_the_backward_pass():
    inputs = random_inputs()
    nll = fused(*inputs, *TARGETS, "rna", 0)
    node = weakref.ref(nll.grad_fn)
    nll.sum().backward()
    del nll
    assert node() is None


def test_unknown_options_are_named():
    with pytest.raises(OptionError, match="unknown activation 'gelu'"):
        JointOptions(activation="gelu")
    with pytest.raises(OptionError, match="unknown emission 'hard'"):
        JointOptions(emission="hard")
