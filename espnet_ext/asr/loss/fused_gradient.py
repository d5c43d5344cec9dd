"""Gradients of all inputs, tile by tile: the backward pass of the fused loss.

The logits of a tile are computed once more; with the coefficients of
``node_gradient.py`` their gradient is

    dz_k = M softmax(z)_k - uniform - peak [k = next] - peak_repeat [k = current]

and three products take it to the weights, the readout and from there to the inputs.
"""

# Dimensions: N nodes, K units of the softmax, J readout
from typing import NamedTuple, Optional

import torch

from espnet_ext.asr.loss.fused_readout import Readout
from espnet_ext.asr.loss.fused_scores import SAFE_LOG_SUM, Nodes, Outputs
from espnet_ext.asr.loss.node_gradient import NodeGradient
from espnet_ext.layers.products import linear


class OutputGradients(NamedTuple):
    """Gradients of the output layers; those of the emission are float64, or None."""

    label_weight_JK: torch.Tensor
    label_bias_K: torch.Tensor
    emission_weight_J: Optional[torch.Tensor]
    emission_bias_1: Optional[torch.Tensor]


def zero_gradients(outputs: Outputs) -> OutputGradients:
    """Zeros of the right shapes."""
    emission = (
        None if x is None else torch.zeros_like(x, dtype=torch.float64)
        for x in (outputs.emission_weight_J, outputs.emission_bias_1)
    )
    return OutputGradients(
        outputs.label_weight_KJ.new_zeros(outputs.label_weight_KJ.shape[::-1]),
        torch.zeros_like(outputs.label_bias_K),
        *emission,
    )


def add_gradients(
    readout: Readout,
    outputs: Outputs,
    nodes: Nodes,
    coefficients: NodeGradient,
    log_sum_N: torch.Tensor,
    tile: int,
    label_scale: float,
    blank_unit: Optional[int],
) -> OutputGradients:
    """Gradients of the output layers; those of the inputs are left in ``readout``.

    Args:
        readout: Tables of the two inputs and of their gradients.
        outputs: Output layers.
        nodes: The nodes that count.
        coefficients: Of each of them, already times the gradient of its nll. float64.
        log_sum_N: Of the forward pass.
        tile: Nodes computed at once.
        label_scale: Factor on the label part of the score.
        blank_unit: Softmax unit of blank; None with an emission sigmoid.
    """
    grads = zero_gradients(outputs)
    dtype, labels = outputs.label_weight_KJ.dtype, outputs.label_weight_KJ.size(0)
    labels -= blank_unit is not None
    for part in nodes.tiles(tile):
        some = nodes[part]
        node = NodeGradient(*(x if x is None else x[part] for x in coefficients))
        scaled = node.scaled_labels(label_scale)
        readout_NJ = readout.rows(some.frame_N, some.position_N)
        dropped_NJ, mask_NJ = outputs.dropped(readout_NJ, some.node_N)
        grad_NK = linear(dropped_NJ, outputs.label_weight_KJ, outputs.label_bias_K)
        mass_N = scaled.label_mass(labels)
        if blank_unit is not None:
            mass_N = mass_N + node.blank
        _scaled_softmax_(grad_NK, log_sum_N[part], mass_N)
        _subtract_targets_(grad_NK, some, scaled, blank_unit)
        grads.label_weight_JK.add_(linear(dropped_NJ.t(), grad_NK.t()))
        grads.label_bias_K.add_(grad_NK.sum(0))
        grad_NJ = linear(grad_NK, outputs.label_weight_KJ.t())
        del grad_NK
        if mask_NJ is not None:
            grad_NJ.mul_(mask_NJ)
        if blank_unit is None:
            emission_N = outputs.emission(readout_NJ)
            grad_N = node.emission_gradient(emission_N, labels)
            # of both signs and nearly cancelling: summed in float64, as it is cheap
            grads.emission_weight_J.addmv_(readout_NJ.t().double(), grad_N)
            grads.emission_bias_1.add_(grad_N.sum())
            grad_NJ.addr_(grad_N.to(dtype), outputs.emission_weight_J)
        readout.add_gradient(grad_NJ, readout_NJ, some.frame_N, some.position_N)
    return grads


def _scaled_softmax_(
    logits_NK: torch.Tensor, log_sum_N: torch.Tensor, mass_N: torch.Tensor
) -> None:
    """Replace logits by mass * softmax, with a shift only where exp needs one."""
    if bool((log_sum_N.abs() < SAFE_LOG_SUM).all()):
        factor_N = mass_N * (-log_sum_N).exp()
    else:
        shift_N = log_sum_N.to(logits_NK.dtype)
        logits_NK.sub_(shift_N.unsqueeze(1))
        factor_N = mass_N * (shift_N.double() - log_sum_N).exp()
    logits_NK.exp_().mul_(factor_N.to(logits_NK.dtype).unsqueeze(1))


def _subtract_targets_(
    grad_NK: torch.Tensor,
    nodes: Nodes,
    node: NodeGradient,
    blank_unit: Optional[int],
) -> None:
    """Subtract what the arcs want, in place."""
    dtype = grad_NK.dtype
    if node.uniform is not None:
        grad_NK.sub_(node.uniform.to(dtype).unsqueeze(1))
    for unit_N, peak_N in (
        (nodes.next_N, node.peak),
        (nodes.current_N, node.peak_repeat),
    ):
        if unit_N is not None and peak_N is not None:
            grad_NK.scatter_add_(1, unit_N.unsqueeze(1), -peak_N.to(dtype).unsqueeze(1))
    if blank_unit is not None:
        blank_N = node.blank
        if node.uniform is not None:  # which is for labels only
            blank_N = blank_N - node.uniform
        grad_NK[:, blank_unit] -= blank_N.to(dtype)
