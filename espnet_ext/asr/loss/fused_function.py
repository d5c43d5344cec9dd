"""The fused loss as an operation of autograd: scores, dynamic program, gradients.

The forward pass visits the nodes of the band, those on any complete alignment. The
backward pass visits only nodes whose posterior exceeds a threshold. A node with
posterior p moves the gradient at its logits by at most 2 p (softmax and target have
mass p each), so that leaving out all nodes below the threshold changes the gradient of
a frame, of which the nodes have the posterior 1 altogether, by at most
2 S threshold. The default is 1e-7, and what is left out is then
less than what float32 rounds away.
"""

# Dimensions: B batch, T frames, S positions, R readout before the activation, J after,
#             K units of the softmax, N nodes
import dataclasses
from typing import Optional

import torch

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.dense import arc_index
from espnet_ext.asr.loss.fused_gradient import add_gradients
from espnet_ext.asr.loss.fused_readout import Activation, Readout
from espnet_ext.asr.loss.fused_scores import (
    Nodes,
    NodeScores,
    Outputs,
    node_scores,
    pack,
    spread,
)
from espnet_ext.asr.loss.lattice import Occupancies, band_mask, occupancies
from espnet_ext.asr.loss.node_gradient import GradientOptions, NodeGradient
from espnet_ext.asr.loss.topology import Topology


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything but the tensors that get a gradient.

    Attributes:
        labels_BL, frame_lens_B, label_lens_B: The batch.
        topology: Which alignments count.
        blank: Index of blank in V.
        blank_unit: Softmax unit of blank; None with an emission sigmoid.
        activation: Of the readout.
        options: Label smoothing and the like.
        mask_J: Shared dropout mask before the softmax, or None.
        dropout_rate, dropout_seed: Elementwise dropout before the softmax; or rate 0.
        threshold: Nodes with less posterior are left out of the gradient.
        tile: Nodes computed at once.
    """

    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor
    topology: Topology
    blank: int
    blank_unit: Optional[int]
    activation: Activation
    options: GradientOptions
    mask_J: Optional[torch.Tensor]
    dropout_rate: float
    dropout_seed: int
    threshold: float
    tile: int

    def outputs(self, label_weight_KJ, label_bias_K, emission_weight_1J, emission_bias):
        """The output layers in the type to compute in."""
        dtype = torch.promote_types(label_weight_KJ.dtype, torch.float32)
        label_weight_KJ = label_weight_KJ.to(dtype)
        if self.mask_J is not None:
            label_weight_KJ = label_weight_KJ * self.mask_J.to(dtype)
        if emission_weight_1J is not None:
            emission_weight_1J = emission_weight_1J.to(dtype).view(-1)
            emission_bias = emission_bias.to(dtype).view(1)
        return Outputs(
            label_weight_KJ,
            label_bias_K.to(dtype),
            emission_weight_1J,
            emission_bias,
            self.dropout_rate,
            self.dropout_seed,
        )

    def units(self):
        """Softmax unit of the next and of the current label, [B, S] each."""
        index = arc_index(self.labels_BL, self.label_lens_B)
        if self.blank_unit is None:
            # the softmax has no blank
            index = tuple((x - (x > self.blank).long()).clamp_(min=0) for x in index)
        next_BS, current_BS = index
        return next_BS, current_BS if self.topology.repeats else None


class FusedFullSum(torch.autograd.Function):
    """nll_B of (am, lm, label weight and bias, emission weight and bias, plan)."""

    @staticmethod
    def forward(ctx, am_BTR, lm_BSR, *weights_and_plan):
        *weights, plan = weights_and_plan
        with torch.autocast(am_BTR.device.type, enabled=False):
            nll_B, saved = _forward(am_BTR, lm_BSR, weights, plan)
        ctx.plan = plan
        ctx.save_for_backward(am_BTR, lm_BSR, *weights, *saved)
        return nll_B

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_B):
        inputs, saved = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        with torch.autocast(grad_B.device.type, enabled=False):
            grads = _backward(*inputs[:2], inputs[2:], ctx.plan, saved, grad_B)
        needed = zip(grads, inputs, ctx.needs_input_grad)
        # of the inputs' own type: bf16 projections get a bf16 gradient
        grads = [x.to(y.dtype) if need else None for x, y, need in needed]
        return (*grads, None)


def lattice_scores(am_BTR, lm_BSR, weights, plan: Plan):
    """Packed nodes of the band, their NodeScores, and the size of the lattice."""
    outputs = plan.outputs(*weights)
    dtype = outputs.label_weight_KJ.dtype
    next_BS, current_BS = plan.units()
    lengths = plan.frame_lens_B, plan.label_lens_B
    lattice = torch.Size((*am_BTR.shape[:2], lm_BSR.size(1)))
    band_BTS = band_mask(*lengths, plan.topology, plan.labels_BL, lattice[1:])
    nodes = pack(band_BTS, next_BS, current_BS)
    readout = Readout(am_BTR, lm_BSR, plan.activation, dtype, plan.tile)
    scores = node_scores(
        *(readout, outputs, nodes, plan.tile),
        *(plan.options.label_scale, plan.blank_unit),
    )
    return nodes, scores, lattice


def node_scorer(am_BTR, lm_BSR, weights, plan: Plan):
    """A function of (rows among B T frames [N], rows among B S positions [N]) that
    gives the NodeScores of these nodes.
    """
    outputs = plan.outputs(*weights)
    dtype = outputs.label_weight_KJ.dtype
    readout = Readout(am_BTR, lm_BSR, plan.activation, dtype, plan.tile)
    units = [x if x is None else x.flatten() for x in plan.units()]

    def scores(frame_N: torch.Tensor, position_N: torch.Tensor) -> NodeScores:
        of_nodes = (x if x is None else x[position_N] for x in units)
        # without dropout nobody asks for the numbers of the nodes
        nodes = Nodes(frame_N, frame_N, position_N, *of_nodes)
        scale, blank_unit = plan.options.label_scale, plan.blank_unit
        return node_scores(readout, outputs, nodes, plan.tile, scale, blank_unit)

    return scores


def lattice_arcs(am_BTR, lm_BSR, weights, plan: Plan) -> ArcScores:
    """Scores of all arcs of the band; 0 elsewhere."""
    nodes, scores, lattice = lattice_scores(am_BTR, lm_BSR, weights, plan)
    dense = (x if x is None else spread(x, nodes, lattice) for x in scores[1:])
    return ArcScores(*dense)


def _forward(am_BTR, lm_BSR, weights, plan: Plan):
    # a function of its own: the dynamic program needs the memory of its tables
    nodes, scores, lattice = lattice_scores(am_BTR, lm_BSR, weights, plan)
    lengths = plan.frame_lens_B, plan.label_lens_B
    dense = (x if x is None else spread(x, nodes, lattice) for x in scores[1:])
    result = occupancies(ArcScores(*dense), plan.labels_BL, *lengths, plan.topology)
    kept_N, posteriors = kept_nodes(result, nodes, plan.threshold)
    saved = (
        torch.isfinite(result.nll_B),
        nodes.node_N[kept_N],
        scores.log_sum_N[kept_N],
        *posteriors,
    )
    dtype = torch.promote_types(weights[0].dtype, torch.float32)
    return result.nll_B.to(dtype), saved


def kept_nodes(result: Occupancies, nodes: Nodes, threshold: float):
    """Which nodes count, as indices, and their posteriors (blank, label, repeat)."""
    posteriors = [
        None if x is None else x.reshape(-1)[nodes.node_N] for x in result[1:]
    ]
    total_N = sum(x for x in posteriors if x is not None)
    kept_N = (total_N > threshold).nonzero().squeeze(1)
    return kept_N, [None if x is None else x[kept_N] for x in posteriors]


def _backward(am_BTR, lm_BSR, weights, plan: Plan, saved, grad_B):
    possible_B, node_N, log_sum_N, *posteriors = saved
    outputs = plan.outputs(*weights)
    lattice = torch.Size((*am_BTR.shape[:2], lm_BSR.size(1)))
    mask = torch.zeros(lattice.numel(), dtype=torch.bool, device=am_BTR.device)
    mask[node_N] = True
    nodes = pack(mask.view(lattice), *plan.units())
    # an impossible sequence has no gradient, whatever the caller multiplies with
    scale_B = grad_B.double().masked_fill(~possible_B, 0.0)
    scale_N = scale_B[nodes.frame_N.div(max(lattice[1], 1), rounding_mode="floor")]
    units = outputs.label_weight_KJ.size(0)
    labels = units - (plan.blank_unit is not None)
    coefficients = plan.options.node_gradient(*posteriors, labels)
    coefficients = NodeGradient(
        *(x if x is None else x * scale_N for x in coefficients)
    )
    dtype = outputs.label_weight_KJ.dtype
    readout = Readout(am_BTR, lm_BSR, plan.activation, dtype, plan.tile, gradients=True)
    grads = add_gradients(
        *(readout, outputs, nodes, coefficients, log_sum_N, plan.tile),
        *(plan.options.label_scale, plan.blank_unit),
    )
    label_weight_KJ = grads.label_weight_JK.t()
    if plan.mask_J is not None:
        label_weight_KJ = label_weight_KJ * plan.mask_J.to(dtype)
    emission_weight_1J = grads.emission_weight_J
    if emission_weight_1J is not None:
        emission_weight_1J = emission_weight_1J.view(weights[2].shape)
    return (
        *readout.input_gradients(),
        *(label_weight_KJ, grads.label_bias_K),
        *(emission_weight_1J, grads.emission_bias_1),
    )
