"""Full-sum loss of a joint network on the GPU, without the logits of the lattice.

The joint (readout, dropout, label softmax, emission), the recursion and all gradients:
packed nodes, cut to the band; logits are computed tile by tile, and once more in the
backward pass for those nodes alone whose posterior matters.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K labels without blank,
#             N packed nodes, R readout before the activation, J after it
import contextlib
from dataclasses import dataclass, field
from typing import Iterator, NamedTuple, Optional, Tuple, Union

import torch
from torch.autograd.function import once_differentiable

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.lattice import Occupancies, occupancies
from espnet_ext.asr.loss.node_gradient import EMISSIONS, GradientOptions
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.asr.loss.triton.blocks import Blocks, default_blocks
from espnet_ext.asr.loss.triton.joint import (
    ACTIVATIONS,
    Dropout,
    Joint,
    Nodes,
    padded_weight,
)
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.pack import pack_nodes
from espnet_ext.asr.loss.triton.passes import Tiles, backward_pass, forward_pass
from espnet_ext.asr.loss.triton.recursion import recursion
from espnet_ext.asr.loss.triton.scores import arc_logits, logit_gradient
from espnet_ext.errors import OptionError

# Nodes of a smaller posterior are left out of the backward pass: with float32 sums this
# changes the gradient by less than rounding does (shared/performance.md, section 2).
THRESHOLD = 1e-7
# Largest gradient at a logit in float16, so that neither a loss scale overflows nor the
# tails of the softmax vanish; taken out again from the float32 sums.
HALF_RANGE = 1024.0


@dataclass(frozen=True)
class JointOptions:
    """What a joint does besides its weights.

    Attributes:
        activation: ``maxout``, ``tanh``, ``relu`` or ``none``.
        emission: ``sigmoid`` or ``softmax``.
        dropout: Before the label softmax, None for none.
        gradient: Label smoothing, FastEmit, label scale.
        threshold: Posterior below which a node has no gradient.
        tiles: Extents of what is alive at a time.
        blocks: Tile of the kernels; None for the default of the number format.
    """

    activation: str = "maxout"
    emission: str = "sigmoid"
    dropout: Optional[Dropout] = None
    gradient: GradientOptions = field(default_factory=GradientOptions)
    threshold: float = THRESHOLD
    tiles: Tiles = field(default_factory=Tiles)
    blocks: Optional[Blocks] = None

    def __post_init__(self):
        for name, known in (("activation", ACTIVATIONS), ("emission", EMISSIONS)):
            if getattr(self, name) not in known:
                raise OptionError(
                    f"unknown {name} {getattr(self, name)!r}",
                    expected=", ".join(known),
                )


class Targets(NamedTuple):
    """What is summed over: arguments of ``full_sum_loss``, on the device."""

    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor
    topology: Topology
    blank: int


def fused_joint_triton(
    am_BTR: torch.Tensor,
    lm_BSR: torch.Tensor,
    label_weight_KJ: torch.Tensor,
    label_bias_K: torch.Tensor,
    emission_weight_1J: torch.Tensor,
    emission_bias_1: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
    options: Optional[JointOptions] = None,
) -> torch.Tensor:
    """Negative log of the sum over all alignments, of a joint's inputs and weights.

    Args:
        am_BTR: Projection of the encoder; float32, bfloat16, float16 or float64.
        lm_BSR: Projection of the prediction network, S = L + 1.
        label_weight_KJ: Label output; J = R / 2 with maxout, else R. Weights may be of
            another format than the projections, whose format is computed with.
        label_bias_K: Its bias.
        emission_weight_1J: Emission output.
        emission_bias_1: Its bias.
        labels_BL: Label ids in V = K + 1, padded with anything.
        frame_lens_B: Valid frames per sequence.
        label_lens_B: Valid labels per sequence.
        topology: Any.
        blank: Index of blank in V.
        options: See ``JointOptions``.

    Returns:
        nll_B in nats, float32 (float64 for float64); inf, with zero gradient, for a
        sequence without any alignment. Products are summed up in that format too, the
        recursion is in float64.

    The result is the same in each run, bit for bit: no sum depends on the order in
    which programs finish.
    """
    options = options or JointOptions()
    device = am_BTR.device
    dtype = torch.promote_types(am_BTR.dtype, lm_BSR.dtype)
    targets = Targets(
        *(x.to(device) for x in (labels_BL, frame_lens_B, label_lens_B)),
        get_topology(topology),
        blank,
    )
    return _FusedJoint.apply(
        am_BTR.to(dtype),
        lm_BSR.to(dtype),
        label_weight_KJ,
        label_bias_K,
        emission_weight_1J,
        emission_bias_1,
        targets,
        options,
    )


class _FusedJoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, am, lm, weight, bias, emission_weight, emission_bias, *rest):
        targets, options = rest
        with _exactly_on(am.device):
            joint = _joint(am, lm, weight, bias, emission_weight, options)
            lattice = am.size(1), lm.size(1)
            nodes = pack_nodes(*targets, lattice)
            emission_N, scores = forward_pass(joint, nodes, options.tiles)
            emission_N += emission_bias.to(emission_N.dtype)
            scale = options.gradient.label_scale
            arcs = arc_logits(emission_N, scores, options.emission, scale)
            result = _occupancies(arcs, nodes, targets, am.shape[:1] + lattice)
            posteriors = [
                None if x is None else x.flatten()[nodes.id_N] for x in result[1:]
            ]
            kept = sum(x for x in posteriors if x is not None) >= options.threshold
            kept = kept.nonzero().flatten()
        ctx.save_for_backward(am, lm, weight, bias, emission_weight, emission_bias)
        # numbers of the nodes that matter; the weights are read again from above
        ctx.nodes = nodes[kept]
        ctx.emission_N, ctx.normaliser_N = emission_N[kept], arcs.normaliser_N[kept]
        ctx.posteriors = [None if x is None else x[kept] for x in posteriors]
        ctx.options = options
        return result.nll_B.to(emission_N.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_B):
        am, lm, weight, bias, emission_weight, emission_bias = ctx.saved_tensors
        options, nodes, emission_N = ctx.options, ctx.nodes, ctx.emission_N
        with _exactly_on(am.device):
            joint = _joint(am, lm, weight, bias, emission_weight, options)
            # a sequence without an alignment has no nodes here
            scale_N = grad_B.double()[nodes.am_row_N // am.size(1)]
            unit = _unit(scale_N, am.dtype)
            scaled = [None if x is None else x * (scale_N / unit) for x in ctx.posteriors]
            gradient = options.gradient.node_gradient(*scaled, joint.labels)
            emission_gradient_N, coefficients = logit_gradient(
                gradient,
                emission_N,
                ctx.normaliser_N,
                joint.labels,
                options.emission,
                options.gradient.label_scale,
            )
            dtype = emission_N.dtype
            gradients = backward_pass(
                joint,
                nodes,
                LogitCoefficients(*(x if x is None else x.to(dtype) for x in coefficients)),
                emission_gradient_N.to(dtype),
                am.size(1),
                options.tiles,
            )
        inputs = am, lm, weight, bias, emission_weight, emission_bias
        unit = unit.to(dtype)
        return (
            *(g.mul_(unit).view(x.shape).to(x.dtype) for g, x in zip(gradients, inputs)),
            None,
            None,
        )


@contextlib.contextmanager
def _exactly_on(device: torch.device) -> Iterator[None]:
    """Without autocast; kernels are launched on the device of the tensors."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
        yield


def _joint(am, lm, weight, bias, emission_weight, options: JointOptions) -> Joint:
    dropout = options.dropout
    if dropout is None:
        dropout = Dropout("none", bias)
    return Joint(
        am.reshape(-1, am.size(2)).contiguous(),
        lm.reshape(-1, lm.size(2)).contiguous(),
        padded_weight(weight, am.dtype),
        bias.contiguous(),
        emission_weight.reshape(-1).contiguous(),
        weight.size(1),
        options.activation,
        dropout,
        options.blocks or default_blocks(am.dtype),
    )


def _occupancies(
    arcs, nodes: Nodes, targets: Targets, shape: Tuple[int, int, int]
) -> Occupancies:
    """Posteriors of the lattice of these arcs; outside of the band nothing is read."""

    def dense(part_N: Optional[torch.Tensor]) -> Optional[torch.Tensor]:
        if part_N is None:
            return None
        part_BTS = part_N.new_zeros(shape)
        part_BTS.view(-1)[nodes.id_N] = part_N
        return part_BTS

    scores = ArcScores(*(dense(part) for part in arcs[:3]))
    return occupancies(scores, *targets[:4], recursion=recursion)


def _unit(scale_N: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What gradients are divided by until they are summed up; 1 except for float16."""
    one = scale_N.new_ones(())
    if dtype != torch.float16 or not scale_N.numel():
        return one
    largest = scale_N.abs().max()
    return torch.where(largest > 0, largest / HALF_RANGE, one)
