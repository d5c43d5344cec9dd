"""Each kernel against plain PyTorch in float64."""

import pytest
import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.fused_dropout import elementwise_mask
from espnet_ext.asr.loss.triton.blocks import padded
from espnet_ext.asr.loss.triton.dropout import keep_tile, threshold_of
from espnet_ext.asr.loss.triton.label_gradient import (
    LogitCoefficients,
    label_gradient,
)
from espnet_ext.asr.loss.triton.label_scores import label_scores
from espnet_ext.asr.loss.triton.readout import readout_of
from espnet_ext.asr.loss.triton.readout_backward import add_row_gradients, rows_of
from tests.asr.loss.triton.cases import ACTIVATIONS, DEVICE, RATE, kernel_case

EXACT = 1e-12  # float64, a few dozen additions
DROPOUTS = [None, "shared", "elementwise"]
COLUMNS = 70  # more than one block, and not a multiple of anything


def close(ours, right, rtol=EXACT):
    torch.testing.assert_close(
        ours.double(), right.detach().double(), rtol=rtol, atol=rtol
    )


def filled_readout(case):
    """Readout and emission logits, in a buffer that held something else."""
    buffer = case.joint.readout_buffer(len(case.nodes)).fill_(float("nan"))
    return buffer, readout_of(case.joint, case.nodes, buffer)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", DROPOUTS)
def test_readout_and_emission_equal_the_definition(activation, dropout):
    case = kernel_case(COLUMNS, activation=activation, dropout=dropout)
    buffer, emission = filled_readout(case)
    close(emission, case.readout_NJ @ case.inputs[4][0])
    assert buffer.size(1) == padded(COLUMNS) and not buffer[:, COLUMNS:].any()
    # what dropout multiplies with is part of the weight
    kept = buffer[:, :COLUMNS]
    if dropout == "elementwise":
        assert torch.equal(kept == 0, case.dropped_NJ == 0)
    close(kept * case.joint.weight_factor, case.dropped_NJ)


@pytest.mark.parametrize("units", [1, 16, 37])
@pytest.mark.parametrize("repeats, blank", [(False, None), (True, None), (False, 0)])
def test_softmax_equals_logsumexp_and_gather(units, repeats, blank):
    case = kernel_case(units=units, repeats=repeats, blank=blank)
    buffer, _ = filled_readout(case)
    ours = label_scores(case.joint, case.nodes, buffer)
    close(ours.log_sum_N, case.logits_NK.logsumexp(1))
    close(ours.next_N, case.logits_NK.gather(1, case.nodes.next_N[:, None])[:, 0])
    assert (ours.current_N is not None) == repeats
    if repeats:
        expected = case.logits_NK.gather(1, case.nodes.current_N[:, None])[:, 0]
        close(ours.current_N, expected)
    assert (ours.blank_N is not None) == (blank is not None)
    if blank is not None:
        close(ours.blank_N, case.logits_NK[:, blank])


def test_large_logits_do_not_overflow_the_sum():
    case = kernel_case()
    case.joint.bias_K[3] += 2000.0
    buffer, _ = filled_readout(case)
    ours = label_scores(case.joint, case.nodes, buffer)
    expected = case.logits_NK.detach().clone()
    expected[:, 3] += 2000.0
    close(ours.log_sum_N, expected.logsumexp(1))


@pytest.mark.parametrize(
    "repeats, smooths, blank",
    [(False, False, None), (True, True, None), (False, True, 20)],
)
def test_gradient_at_logits_equals_its_formula(repeats, smooths, blank):
    units = 37
    case = kernel_case(units=units, repeats=repeats, blank=blank)
    buffer, _ = filled_readout(case)
    c = torch.rand(6, len(case.nodes), dtype=torch.float64).to(DEVICE)
    c[0] += 4.0
    parts = LogitCoefficients(
        *c[:3],
        c[3] if repeats else None,
        0.01 * c[4] if smooths else None,
        None if blank is None else c[5],
    )
    expected = c[1][:, None] * (case.logits_NK.detach() - c[0][:, None]).exp()
    unit_K = torch.arange(units, device=DEVICE)
    expected -= c[2][:, None] * (unit_K == case.nodes.next_N[:, None])
    if repeats:
        expected -= c[3][:, None] * (unit_K == case.nodes.current_N[:, None])
    if smooths:
        expected -= 0.01 * c[4][:, None]
    if blank is not None:
        expected[:, blank] -= c[5]
    for first, width in ((0, 64), (16, 24)):
        out = buffer.new_full((len(case.nodes), width), float("nan"))
        sums = label_gradient(case.joint, case.nodes, buffer, parts, first, out)
        tile = expected[:, first : first + width]
        close(out[:, : tile.size(1)], tile)
        assert not out[:, tile.size(1) :].any(), "columns beyond the last unit"
        close(sums, out.sum(0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [None, "elementwise"])
@pytest.mark.parametrize("emits", [False, True])
def test_gradient_of_the_readout_equals_autograd(activation, dropout, emits):
    case = kernel_case(COLUMNS, activation=activation, dropout=dropout)
    joint = case.joint
    # a few nodes are missing, so rows have different numbers of them
    kept = (case.nodes.node_N % 7 != 2).nonzero().flatten()
    nodes = case.nodes[kept]
    gradient = torch.randn(len(kept), padded(COLUMNS), dtype=torch.float64).to(DEVICE)
    emission = torch.randn(len(kept), dtype=torch.float64).to(DEVICE) if emits else None
    am, lm = torch.ones_like(joint.am_AR), torch.ones_like(joint.lm_MR)
    sent = gradient, emission
    am_rows = rows_of(nodes.frame_N, 0, len(am))
    weight = add_row_gradients(joint, nodes, am_rows, *sent, am, with_weight=emits)
    lm_rows = rows_of(nodes.position_N, 0, len(lm))
    add_row_gradients(joint, nodes, lm_rows, *sent, lm)

    dropped = case.dropped_NJ / joint.weight_factor
    total = (dropped[kept] * gradient[:, :COLUMNS]).sum()
    if emits:
        total = total + (case.readout_NJ @ case.inputs[4][0])[kept] @ emission
    wanted = [case.inputs[i] for i in (0, 1, 4)][: 2 + emits]
    expected = torch.autograd.grad(total, wanted)
    # added to what was there
    close(am - 1.0, expected[0].flatten(0, 1))
    close(lm - 1.0, expected[1].flatten(0, 1))
    if emits:
        close(weight, expected[2][0])


def test_of_equal_halves_of_maxout_the_first_gets_the_gradient():
    """As in the fused loss in PyTorch; torch.maximum would give each half of it."""
    case = kernel_case()
    joint, nodes = case.joint, case.nodes
    joint.am_AR.zero_(), joint.lm_MR.zero_()
    gradient = torch.ones(len(nodes), 64, dtype=torch.float64, device=DEVICE)
    am = torch.zeros_like(joint.am_AR)
    rows = rows_of(nodes.frame_N, 0, len(am))
    add_row_gradients(joint, nodes, rows, gradient, None, am)
    assert (am[:, 0::2] == 4).all() and not am[:, 1::2].any()


def test_mask_of_a_node_is_the_same_in_every_tile():
    case = kernel_case(COLUMNS, dropout="elementwise")
    whole, _ = filled_readout(case)
    some = torch.tensor([30, 7, 19], device=DEVICE)
    few = case.joint.readout_buffer(3)
    readout_of(case.joint, case.nodes[some], few)
    assert torch.equal(few, whole[some])


@triton.jit
def _keep_kernel(node_ptr, out_ptr, seed, threshold, N: tl.constexpr, J: tl.constexpr):
    n, j = tl.arange(0, N), tl.arange(0, J)
    keep = keep_tile(seed, tl.load(node_ptr + n), j, threshold)
    tl.store(out_ptr + n[:, None] * J + j[None, :], keep.to(tl.int32))


@pytest.mark.parametrize("seed", [0, 1, 77, 2**31 + 5, 2**62 - 1])
def test_masks_equal_those_of_torch_for_more_nodes_than_32_bits_count(seed):
    node_N = (torch.arange(16) * (2**31 + 977) + 5).to(DEVICE)
    out = torch.empty(16, 32, dtype=torch.int32, device=DEVICE)
    _keep_kernel[(1,)](node_N, out, seed, threshold_of(RATE), N=16, J=32)
    mask = elementwise_mask(seed, node_N, 32, RATE, torch.float64)
    assert torch.equal(out.bool(), mask > 0)
