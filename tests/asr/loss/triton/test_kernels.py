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
from tests.asr.loss.triton.cases import (
    ACTIVATIONS,
    DEVICE,
    dense_logits,
    elementwise_dropout,
    every_node,
    factor_of,
    joint_of,
    random_inputs,
    shared_dropout,
)

DROPOUTS = {
    "none": lambda columns: None,
    "shared": shared_dropout,
    "elementwise": lambda columns: elementwise_dropout(),
}
EXACT = 1e-12  # float64, a few dozen additions


def close(ours, right, rtol=EXACT):
    torch.testing.assert_close(
        ours.double(), right.detach().double(), rtol=rtol, atol=rtol
    )


def random_coefficients(count, repeats=True, smooths=True):
    parts = torch.rand(5, count, dtype=torch.float64).to(DEVICE)
    return LogitCoefficients(
        4.0 + parts[0],
        parts[1],
        parts[2],
        parts[3] if repeats else None,
        0.01 * parts[4] if smooths else None,
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", DROPOUTS)
def test_readout_and_emission_equal_the_definition(activation, kind):
    columns = 70  # more than one block, and not a multiple of anything
    inputs = random_inputs(columns=columns, activation=activation)
    dropout = DROPOUTS[kind](columns)
    joint, nodes = joint_of(inputs, activation, dropout), every_node(inputs)
    buffer = joint.readout_buffer(len(nodes)).fill_(float("nan"))
    emission = readout_of(joint, nodes, buffer)
    _, expected = dense_logits(inputs, activation, dropout)
    close(emission + inputs.emission_bias_1.detach(), expected.flatten())
    pairs = inputs.am_BTR.unsqueeze(2) + inputs.lm_BSR.unsqueeze(1)
    readout = ACTIVATIONS[activation](pairs)
    expected = readout * factor_of(dropout, readout.shape)
    close(buffer[:, :columns], expected.flatten(0, 2))
    assert buffer.size(1) == padded(columns) and not buffer[:, columns:].any()


@pytest.mark.parametrize("labels", [1, 16, 37])
@pytest.mark.parametrize("repeats", [False, True])
def test_label_scores_equal_logsumexp_and_gather(labels, repeats):
    inputs = random_inputs(labels=labels)
    joint, nodes = joint_of(inputs), every_node(inputs, repeats)
    buffer = joint.readout_buffer(len(nodes))
    readout_of(joint, nodes, buffer)
    ours = label_scores(joint, nodes, buffer)
    logits = dense_logits(inputs)[0].flatten(0, 2)
    close(ours.normaliser_N, logits.logsumexp(1))
    for unit, logit in ((nodes.next_N, ours.next_N), (nodes.current_N, ours.current_N)):
        if unit is None:
            assert logit is None
            continue
        there = unit >= 0
        chosen = logits.gather(1, unit.long().clamp(min=0)[:, None])[:, 0]
        close(logit, torch.where(there, chosen, 0.0))


def test_large_logits_do_not_overflow_the_normaliser():
    inputs = random_inputs()
    inputs.label_bias_K.data[3] += 2000.0
    joint, nodes = joint_of(inputs), every_node(inputs)
    buffer = joint.readout_buffer(len(nodes))
    readout_of(joint, nodes, buffer)
    logits = dense_logits(inputs)[0].flatten(0, 2)
    close(label_scores(joint, nodes, buffer).normaliser_N, logits.logsumexp(1))


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("smooths", [False, True])
def test_gradient_at_logits_equals_its_formula(repeats, smooths):
    labels = 37
    inputs = random_inputs(labels=labels)
    joint, nodes = joint_of(inputs), every_node(inputs, repeats)
    buffer = joint.readout_buffer(len(nodes))
    readout_of(joint, nodes, buffer)
    c = random_coefficients(len(nodes), repeats, smooths)
    logits = dense_logits(inputs)[0].flatten(0, 2).detach()
    expected = c.mass_N[:, None] * (logits - c.normaliser_N[:, None]).exp()
    unit_K = torch.arange(labels, device=DEVICE)
    expected -= c.peak_N[:, None] * (unit_K == nodes.next_N[:, None])
    if repeats:
        expected -= c.peak_repeat_N[:, None] * (unit_K == nodes.current_N[:, None])
    if smooths:
        expected -= c.uniform_N[:, None]
    for first, width in ((0, 64), (16, 24)):
        out = buffer.new_full((len(nodes), width), float("nan"))
        sums = label_gradient(joint, nodes, buffer, c, first, out)
        tile = expected[:, first : first + width]
        close(out[:, : tile.size(1)], tile)
        assert not out[:, tile.size(1) :].any(), "columns beyond the last label"
        close(sums, out.sum(0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", DROPOUTS)
def test_gradient_of_the_readout_equals_autograd(activation, kind):
    columns = 70
    inputs = random_inputs(columns=columns, activation=activation)
    dropout = DROPOUTS[kind](columns)
    joint, nodes = joint_of(inputs, activation, dropout), every_node(inputs)
    # a few nodes are missing, so rows have different numbers of them
    kept = (nodes.id_N % 7 != 2).nonzero().flatten()
    nodes = nodes[kept]
    gradient = torch.randn(len(nodes), padded(columns), dtype=torch.float64).to(DEVICE)
    emission_gradient = torch.randn(len(nodes), dtype=torch.float64).to(DEVICE)
    am, lm = torch.ones_like(joint.am_AR), torch.ones_like(joint.lm_MR)
    am_rows = rows_of(nodes.am_row_N, 0, len(am))
    lm_rows = rows_of(nodes.lm_row_N, 0, len(lm))
    sent = gradient, emission_gradient
    weight = add_row_gradients(joint, nodes, am_rows, *sent, am, with_weight=True)
    add_row_gradients(joint, nodes, lm_rows, *sent, lm)

    pairs = inputs.am_BTR.unsqueeze(2) + inputs.lm_BSR.unsqueeze(1)
    readout = ACTIVATIONS[activation](pairs)
    dropped = (readout * factor_of(dropout, readout.shape)).flatten(0, 2)[kept]
    emission = (readout.flatten(0, 2) @ inputs.emission_weight_1J[0])[kept]
    total = (dropped * gradient[:, :columns]).sum() + emission @ emission_gradient
    wanted = inputs.am_BTR, inputs.lm_BSR, inputs.emission_weight_1J
    expected = torch.autograd.grad(total, wanted)
    # added to what was there
    close(am - 1.0, expected[0].flatten(0, 1))
    close(lm - 1.0, expected[1].flatten(0, 1))
    close(weight, expected[2][0])


def test_of_equal_halves_of_maxout_the_first_gets_the_gradient():
    inputs = random_inputs()
    for x in inputs[:2]:
        x.data.zero_()
    joint, nodes = joint_of(inputs), every_node(inputs)
    gradient = torch.ones(len(nodes), 64, dtype=torch.float64, device=DEVICE)
    am = torch.zeros_like(joint.am_AR)
    none = torch.zeros(len(nodes), dtype=torch.float64, device=DEVICE)
    rows = rows_of(nodes.am_row_N, 0, len(am))
    add_row_gradients(joint, nodes, rows, gradient, none, am)
    close(am[:, 0::2], torch.full_like(am[:, 0::2], nodes.positions))
    assert not am[:, 1::2].any()


def test_mask_of_a_node_is_the_same_in_every_tile_and_in_torch():
    columns, rate = 70, 0.3
    inputs = random_inputs(columns=columns, activation="relu")
    inputs.am_BTR.data.fill_(1.0)
    inputs.lm_BSR.data.zero_()
    dropout = elementwise_dropout(rate=rate)
    joint, nodes = joint_of(inputs, "relu", dropout), every_node(inputs)
    whole = joint.readout_buffer(len(nodes))
    readout_of(joint, nodes, whole)
    mask = elementwise_mask(dropout.seed, nodes.id_N, columns, rate, whole.dtype)
    assert torch.equal(whole[:, :columns], mask)
    some = torch.tensor([30, 7, 19], device=DEVICE)
    few = joint.readout_buffer(3)
    readout_of(joint, nodes[some], few)
    assert torch.equal(few, whole[some])


@triton.jit
def _keep_kernel(node_ptr, out_ptr, seed, threshold, N: tl.constexpr, J: tl.constexpr):
    n, j = tl.arange(0, N), tl.arange(0, J)
    keep = keep_tile(seed, tl.load(node_ptr + n), j, threshold)
    tl.store(out_ptr + n[:, None] * J + j[None, :], keep.to(tl.int32))


@pytest.mark.parametrize("seed", [0, 1, 77, 2**31 + 5, 2**62 - 1])
def test_masks_agree_for_more_nodes_than_32_bits_count(seed):
    node_N = (torch.arange(16) * (2**31 + 977) + 5).to(DEVICE)
    out = torch.empty(16, 32, dtype=torch.int32, device=DEVICE)
    _keep_kernel[(1,)](node_N, out, seed, threshold_of(0.3), N=16, J=32)
    mask = elementwise_mask(seed, node_N, 32, 0.3, torch.float64)
    assert torch.equal(out.bool(), mask > 0)
