"""Full-sum loss of a joint network on the GPU, without the logits of the lattice.

What ``fused_function.py`` does on the CPU: nodes of the band, packed; logits computed
tile by tile, and once more in the backward pass for those nodes alone whose posterior
matters. Each step is a kernel of this package or a matrix product of the library.
"""

# Dimensions: B batch, T frames, S positions, R readout before the activation, J after,
#             K softmax units, N nodes
import contextlib
from typing import Iterator, Optional

import torch
from torch.autograd.function import once_differentiable

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.fused_function import Plan, kept_nodes
from espnet_ext.asr.loss.fused_scores import Nodes, pack, spread
from espnet_ext.asr.loss.lattice import band_mask, occupancies
from espnet_ext.asr.loss.triton.blocks import Blocks
from espnet_ext.asr.loss.triton.joint import joint_of
from espnet_ext.asr.loss.triton.passes import Tiles, backward_pass, forward_pass
from espnet_ext.asr.loss.triton.recursion import recursion
from espnet_ext.asr.loss.triton.scores import arc_scores, logit_gradient

# Largest gradient at a logit in float16, so that neither a loss scale overflows nor the
# tails of the softmax vanish; taken out again from the float32 sums.
HALF_RANGE = 1024.0


def fused_joint_triton(
    am_BTR: torch.Tensor,
    lm_BSR: torch.Tensor,
    label_weight_KJ: torch.Tensor,
    label_bias_K: torch.Tensor,
    emission_weight_1J: Optional[torch.Tensor],
    emission_bias_1: Optional[torch.Tensor],
    plan: Plan,
    *,
    tiles: Tiles = Tiles(),
    blocks: Optional[Blocks] = None,
) -> torch.Tensor:
    """nll_B in nats; arguments as ``FusedFullSum``, but for the size of tiles.

    Args:
        am_BTR: Projected frames. The format of the projections, float32, bfloat16 or
            float16, is that of the operands of all matrix products; float64 weights
            make everything float64.
        lm_BSR: Projected positions.
        label_weight_KJ: Softmax weights, any float type.
        label_bias_K: Its bias.
        emission_weight_1J: Weights of the emission logit, or None.
        emission_bias_1: Its bias, or None.
        plan: The batch and all options; ``tile`` is the CPU's and not read.
        tiles: How much is alive at a time.
        blocks: Tile of the kernels; None for the default of the number format.

    Returns:
        float32, or float64; inf, with zero gradient, for a sequence without any
        alignment. Products are summed up in this format, the recursion is in float64.

    The same input gives the same bits in each run: no sum depends on the order in which
    programs finish.
    """
    dtype = torch.promote_types(am_BTR.dtype, lm_BSR.dtype)
    if label_weight_KJ.dtype == torch.float64:
        dtype = torch.float64
    weights = label_weight_KJ, label_bias_K, emission_weight_1J, emission_bias_1
    return _FusedJoint.apply(
        am_BTR.to(dtype), lm_BSR.to(dtype), *weights, plan, tiles, blocks
    )


class _FusedJoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, am_BTR, lm_BSR, *rest):
        *weights, plan, tiles, blocks = rest
        with _exactly_on(am_BTR.device):
            joint = joint_of(am_BTR, lm_BSR, *weights[:3], plan, blocks)
            nodes, lattice = _band(am_BTR, lm_BSR, plan)
            emission_N, logits = forward_pass(joint, nodes, tiles)
            if emission_N is not None:
                emission_N += weights[3].to(emission_N.dtype)
            scores = arc_scores(emission_N, logits, plan.options.label_scale)
            dense = (x if x is None else spread(x, nodes, lattice) for x in scores[1:])
            result = occupancies(
                ArcScores(*dense),
                plan.labels_BL,
                plan.frame_lens_B,
                plan.label_lens_B,
                plan.topology,
                recursion,
            )
            kept_N, posteriors = kept_nodes(result, nodes, plan.threshold)
        ctx.save_for_backward(
            *(am_BTR, lm_BSR, *weights, nodes.node_N[kept_N], scores.log_sum_N[kept_N]),
            *(None if emission_N is None else emission_N[kept_N], *posteriors),
        )
        ctx.plan, ctx.tiles, ctx.blocks, ctx.lattice = plan, tiles, blocks, lattice
        return result.nll_B.to(joint.sum_dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_B):
        inputs, saved = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        node_N, log_sum_N, emission_N, *posteriors = saved
        plan, options = ctx.plan, ctx.plan.options
        with _exactly_on(grad_B.device):
            joint = joint_of(*inputs[:5], plan, ctx.blocks)
            nodes = _pack(node_N, plan, ctx.lattice)
            # a sequence without any alignment has no nodes here
            _, frames, positions = ctx.lattice
            scale_N = grad_B.double()[node_N // max(frames * positions, 1)]
            unit = _unit(scale_N, joint.am_AR.dtype)
            scaled = [x if x is None else x * (scale_N / unit) for x in posteriors]
            labels = joint.units - (joint.blank_unit is not None)
            emission_gradient_N, coefficients = logit_gradient(
                joint,
                options.node_gradient(*scaled, labels),
                *(emission_N, log_sum_N, options.label_scale),
            )
            gradients = backward_pass(
                *(joint, nodes, coefficients, emission_gradient_N),
                *((frames, positions), ctx.tiles),
            )
            unit = unit.to(joint.sum_dtype)
            wanted = zip(gradients, inputs, ctx.needs_input_grad)
            result = [
                (g * unit).view(x.shape).to(x.dtype) if need else None
                for g, x, need in wanted
            ]
        return (*result, None, None, None)


@contextlib.contextmanager
def _exactly_on(device: torch.device) -> Iterator[None]:
    """Without autocast; kernels are launched on the device of the tensors."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
        yield


def _band(am_BTR: torch.Tensor, lm_BSR: torch.Tensor, plan: Plan):
    """Nodes on any complete alignment, and the extents B, T, S."""
    lattice = torch.Size((*am_BTR.shape[:2], lm_BSR.size(1)))
    lengths = plan.frame_lens_B, plan.label_lens_B
    band_BTS = band_mask(*lengths, plan.topology, plan.labels_BL, lattice[1:])
    return pack(band_BTS, *plan.units()), lattice


def _pack(node_N: torch.Tensor, plan: Plan, lattice: torch.Size) -> Nodes:
    """Nodes of these numbers, which are in order."""
    mask = torch.zeros(lattice.numel(), dtype=torch.bool, device=node_N.device)
    mask[node_N] = True
    return pack(mask.view(lattice), *plan.units())


def _unit(scale_N: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What gradients are divided by until they are summed up; 1 except for float16."""
    one = scale_N.new_ones(())
    if dtype != torch.float16 or not scale_N.numel():
        return one
    largest = scale_N.abs().max()
    return torch.where(largest > 0, largest / HALF_RANGE, one)
