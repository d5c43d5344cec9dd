"""The fused loss against the same scores written out, with plain autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.loss import SIZES, make_inputs
from espnet_ext.asr.loss import (
    TOPOLOGIES,
    FusedJointLoss,
    GradientOptions,
    LabelSmoothing,
    factorised_loss,
    full_sum_loss,
)
from espnet_ext.asr.loss.fused_dropout import elementwise_mask
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
    single = case._replace(
        inputs=[x.detach().float().requires_grad_() for x in case.inputs]
    )
    exact = case._replace(
        inputs=[x.detach().double().requires_grad_() for x in single.inputs]
    )
    assert_equal(fused(single), reference(exact, "rna"), 1e-5)


@pytest.mark.parametrize("mask", ["shared", "elementwise"])
def test_dropout_uses_one_mask_for_forward_and_backward_pass(mask):
    case = make_case((4, 3), (2, 1))

    def loss(*inputs):
        stream = torch.Generator().manual_seed(3)
        joint = FusedJointLoss(
            *inputs,
            label_dropout=0.4,
            dropout_mask=mask,
            generator=stream,
            skip_threshold=0.0,
            tile_nodes=3,
        )
        return full_sum_loss(joint, *case.batch, "rna", case.blank)

    assert torch.autograd.gradcheck(loss, case.inputs)
    assert torch.equal(loss(*case.inputs), loss(*case.inputs))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_elementwise_masks_have_their_rate_and_are_independent_in_nodes(rate):
    nodes = torch.arange(400)
    mask = elementwise_mask(11, nodes, 500, rate, torch.float64)
    kept = (mask > 0).double()
    error = (rate * (1 - rate) / mask.numel()) ** 0.5
    assert abs(float(kept.mean()) - (1 - rate)) < 5 * error
    torch.testing.assert_close(
        mask[kept > 0], torch.full_like(mask, 1 / (1 - rate))[kept > 0]
    )
    agree = (kept[1:] == kept[:-1]).double().mean()
    expected = rate**2 + (1 - rate) ** 2
    assert abs(float(agree) - expected) < 0.01
    other = elementwise_mask(12, nodes, 500, rate, torch.float64)
    assert not torch.equal(mask, other)
    parts = [
        elementwise_mask(11, part, 500, rate, torch.float64) for part in nodes.split(7)
    ]
    assert torch.equal(torch.cat(parts), mask)


@pytest.mark.parametrize("smoothing", ["ls", "lsx", "lsxx"])
@pytest.mark.parametrize("topology", ["rna", "label_loop"])
def test_smoothing_and_fastemit_equal_the_dense_loss(topology, smoothing):
    options = GradientOptions(LabelSmoothing(smoothing, 0.1), fastemit=0.3)
    case = make_case()
    ours = fused(case, topology, WEIGHTS, options=options, skip_threshold=0.0)
    am_BTR, lm_BSR, *layers = case.inputs
    pairs = (am_BTR.unsqueeze(2) + lm_BSR.unsqueeze(1)).unflatten(3, (-1, 2))
    readout = pairs.amax(4)
    nll_B = factorised_loss(
        F.linear(readout, *layers[:2]),
        F.linear(readout, *layers[2:]).squeeze(3),
        *case.batch,
        topology,
        blank=case.blank,
        options=options,
    )
    assert_equal(ours, (nll_B, gradients(nll_B, case.inputs, WEIGHTS)), 1e-10)


@pytest.mark.parametrize("frames, labels", [((3,), (0,)), ((3,), (3,)), ((1,), (1,))])
def test_the_shortest_and_the_longest_label_sequences(frames, labels):
    case = make_case(frames, labels)
    ours = fused(case, skip_threshold=0.0)
    assert_equal(ours, reference(case, "rna"), 1e-10)


def test_an_impossible_sequence_costs_inf_or_zero_and_has_no_gradient():
    case = make_case((2, 5), (4, 2))
    joint = FusedJointLoss(*case.inputs)
    nll_B = full_sum_loss(joint, *case.batch, "rna", case.blank)
    assert torch.isfinite(nll_B).tolist() == [False, True]
    zero_B = full_sum_loss(joint, *case.batch, "rna", case.blank, infeasible="zero")
    assert float(zero_B[0]) == 0.0
    for total in (nll_B.sum(), zero_B.sum()):
        grads = torch.autograd.grad(total, case.inputs)
        assert all(bool(torch.isfinite(x).all()) for x in grads)
        assert float(grads[0][0].abs().max()) == 0.0


def test_an_empty_batch_has_no_costs_and_zero_gradients():
    case = make_case()
    inputs = [x.detach()[:0] for x in case.inputs[:2]] + list(case.inputs[2:])
    nll_B = full_sum_loss(FusedJointLoss(*inputs), *(x[:0] for x in case.batch))
    assert nll_B.shape == (0,)
    grad = torch.autograd.grad(nll_B.sum(), inputs[2])[0]
    assert float(grad.abs().max()) == 0.0


def test_padding_does_not_matter():
    case = make_case((6, 4), (3, 2))
    ours = fused(case, skip_threshold=0.0)
    noisy = [x.detach().clone() for x in case.inputs]
    noisy[0][1, 4:], noisy[1][1, 3:] = 1e4, -1e4
    other = case._replace(inputs=[x.requires_grad_() for x in noisy])
    assert_equal(fused(other, skip_threshold=0.0), ours, 1e-12)


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_large_logits_neither_overflow_nor_lose_digits(size):
    case = make_case()
    inputs = [x.detach().clone() for x in case.inputs]
    inputs[3] += size
    inputs[3][0] += size
    case = case._replace(inputs=[x.requires_grad_() for x in inputs])
    assert_equal(fused(case, skip_threshold=0.0), reference(case, "rna"), 1e-10)


def test_skipped_nodes_change_the_gradient_less_than_float32_rounds():
    case = make_case((60, 50), (12, 9), vocabulary=30, readout=64)
    exact, skipped = fused(case, skip_threshold=0.0), fused(case)
    assert torch.equal(exact[0], skipped[0])
    changed = False
    for name, a, b in zip("am lm weight bias".split(), skipped[1], exact[1]):
        error = float((a - b).norm() / b.norm())
        changed = changed or error > 0.0
        assert error < 2**-23, name
    assert changed  # there was something to skip


def test_no_tensor_has_both_lattice_and_vocabulary_extents():
    tile, vocabulary = 16, 300
    case = make_case((40, 30), (12, 9), vocabulary=vocabulary, dtype=torch.float32)
    largest = 0

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), kwargs=None):
            nonlocal largest
            result = function(*arguments, **(kwargs or {}))
            for x in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(x, torch.Tensor):
                    largest = max(largest, x.numel())
            return result

    weights = case.inputs[2].numel()
    with Recorder():
        joint = FusedJointLoss(*case.inputs, tile_nodes=tile)
        nll_B = joint.full_sum(*case.batch, "rna", case.blank)
        # a checked lattice has about 800 nodes, 240 000 scores
        nll_B.sum().backward()
    assert vocabulary < largest <= max(tile * vocabulary, 2 * 41 * 13 * 8, weights)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_projections_and_autocast_give_gradients_of_their_own_type(kind):
    case = make_case((12, 9), (4, 3), vocabulary=20, readout=32, dtype=torch.float32)
    half = [x.detach().to(kind).requires_grad_() for x in case.inputs[:2]]
    inputs = half + list(case.inputs[2:])
    rounded = [x.detach().double().requires_grad_() for x in inputs]
    expected = reference(case._replace(inputs=rounded), "rna")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nll_B = full_sum_loss(FusedJointLoss(*inputs), *case.batch, "rna", case.blank)
    assert nll_B.dtype == torch.float32
    torch.testing.assert_close(nll_B.double(), expected[0], rtol=1e-5, atol=0)
    for x, a, b in zip(inputs, gradients(nll_B, inputs), expected[1]):
        assert a.dtype == x.dtype
        tolerance = 1e-2 if x.dtype == kind else 1e-5
        size = float(b.abs().max())
        torch.testing.assert_close(a.double(), b, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"activation": "maxuot"}, "did you mean maxout"),
        ({"emission": "other"}, "sigmoid or softmax"),
        ({"label_dropout": 1.0}, "label_dropout 1.0"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        FusedJointLoss(*make_case().inputs, **options)


def test_a_label_outside_the_vocabulary_or_equal_to_blank_is_refused():
    case = make_case()
    for wrong in (5, -1, case.blank):
        labels = torch.full_like(case.labels_BL, wrong)
        with pytest.raises(OptionError, match=f"label {wrong}"):
            FusedJointLoss(*case.inputs).full_sum(labels, *case.batch[1:], "rna", 2)


@pytest.mark.slow
def test_distributed_training_sums_the_gradients_of_its_processes(tmp_path):
    case = make_case((6, 4), (3, 2), dtype=torch.float32)
    expected = fused(case)[1][2] / 2
    torch.multiprocessing.spawn(_train, (str(tmp_path / "store"), case), nprocs=2)
    for rank in range(2):
        ours = torch.load(tmp_path / f"store.{rank}", weights_only=True)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


class _Joint(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.ParameterList(weights)

    def forward(self, am_BTR, lm_BSR, *batch):
        joint = FusedJointLoss(am_BTR, lm_BSR, *self.weights)
        return full_sum_loss(joint, *batch, "rna", 2).sum()


def _train(rank, store, case):
    """One process: its sequence of the batch, gradients averaged by DDP."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    inputs = [x.detach() for x in case.inputs]
    model = torch.nn.parallel.DistributedDataParallel(_Joint(inputs[2:]))
    mine = slice(rank, rank + 1)
    model(*(x[mine] for x in (*inputs[:2], *case.batch))).backward()
    torch.save(model.module.weights[0].grad, f"{store}.{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.0447, 0.07])
def test_single_precision_gradients_are_right_to_a_millionth_at_a_real_size(scale):
    """Size A of benchmarks/loss.py, with nodes skipped, against float64 without."""
    inputs, batch = make_inputs(SIZES["A"], scale)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    right_B = full_sum_loss(FusedJointLoss(*exact, skip_threshold=0.0), *batch)
    nll_B = full_sum_loss(FusedJointLoss(*inputs), *batch)
    torch.testing.assert_close(nll_B.double(), right_B, rtol=1e-6, atol=0)
    ours, right = gradients(nll_B, inputs), gradients(right_B, exact)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(ours, right)]
    assert max(errors) < 1e-6, errors
