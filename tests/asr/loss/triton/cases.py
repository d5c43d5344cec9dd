"""Small joints, and the same computed by plain PyTorch in float64."""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K labels, R, J readout,
#             N packed nodes
import dataclasses
from typing import List, NamedTuple, Optional

import pytest
import torch
import torch.nn.functional as F

triton = pytest.importorskip("triton", reason="Triton comes with torch on Linux only")

from espnet_ext.asr.loss.factorised import factorised_loss, softmax_loss  # noqa: E402
from espnet_ext.asr.loss.fused_dropout import elementwise_mask  # noqa: E402
from espnet_ext.asr.loss.triton.blocks import (  # noqa: E402
    default_blocks,
    interpreting,
    sum_dtype,
)
from espnet_ext.asr.loss.triton.joint import (  # noqa: E402
    Dropout,
    Joint,
    Nodes,
    padded_weight,
)
from espnet_ext.asr.loss.triton.loss import JointOptions  # noqa: E402

DEVICE = "cpu" if interpreting() else "cuda"
ACTIVATIONS = {
    # not torch.maximum, which halves the gradient where both are equal
    "maxout": lambda x: torch.where(x[..., ::2] >= x[..., 1::2], x[..., ::2], x[..., 1::2]),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "none": torch.clone,
}


class Inputs(NamedTuple):
    """Projections and output layers of a joint, all leaves."""

    am_BTR: torch.Tensor
    lm_BSR: torch.Tensor
    label_weight_KJ: torch.Tensor
    label_bias_K: torch.Tensor
    emission_weight_1J: torch.Tensor
    emission_bias_1: torch.Tensor

    def to(self, dtype: torch.dtype) -> "Inputs":
        """Leaves of another format with the same values, as far as it has them."""
        return Inputs(*(x.detach().to(dtype).requires_grad_() for x in self))


def random_inputs(
    batch=2, frames=5, positions=4, labels=19, columns=5, activation="maxout", seed=3
) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    readout = 2 * columns if activation == "maxout" else columns
    shapes = [(batch, frames, readout), (batch, positions, readout)]
    shapes += [(labels, columns), (labels,), (1, columns), (1,)]
    return Inputs(
        *(
            torch.randn(shape, generator=generator, dtype=torch.float64)
            .to(DEVICE)
            .requires_grad_()
            for shape in shapes
        )
    )


def shared_dropout(columns, rate=0.4) -> Dropout:
    keep = torch.arange(columns, device=DEVICE) % 3 != 1
    return Dropout("shared", keep.double() / (1 - rate))


def elementwise_dropout(seed=2**61 + 12345, rate=0.4) -> Dropout:
    scale = torch.tensor([1 / (1 - rate)], dtype=torch.float64, device=DEVICE)
    return Dropout("elementwise", scale, seed, rate)


def of_dtype(dropout: Optional[Dropout], dtype: torch.dtype) -> Optional[Dropout]:
    """With factors in the format of sums of these projections."""
    if dropout is None:
        return None
    factor = dropout.factor_J.to(sum_dtype(dtype))
    return dataclasses.replace(dropout, factor_J=factor)


def joint_of(inputs: Inputs, activation="maxout", dropout=None) -> Joint:
    """What the kernels get."""
    am, lm, weight, bias, emission_weight, _ = (x.detach() for x in inputs)
    return Joint(
        am.flatten(0, 1),
        lm.flatten(0, 1),
        padded_weight(weight, am.dtype),
        bias,
        emission_weight[0],
        weight.size(1),
        activation,
        of_dtype(dropout, am.dtype) or Dropout("none", bias),
        default_blocks(am.dtype),
    )


def every_node(inputs: Inputs, repeats=False) -> Nodes:
    """All nodes of the padded lattice, with some labels."""
    batch, frames, _ = inputs.am_BTR.shape
    positions, labels = inputs.lm_BSR.size(1), inputs.label_bias_K.numel()
    node_N = torch.arange(batch * frames * positions, device=DEVICE)
    row_N = node_N // positions
    lm_row_N = row_N // frames * positions + node_N % positions
    next_N = (7 * node_N + 3) % labels
    next_N[1::5] = -1
    current_N = (5 * node_N + 1) % labels
    return Nodes(
        row_N.int(),
        lm_row_N.int(),
        next_N.int(),
        current_N.int() if repeats else None,
        positions,
    )


def factor_of(dropout: Optional[Dropout], shape) -> torch.Tensor:
    """What the readout [B, T, S, J] is multiplied with."""
    if dropout is None:
        return torch.ones((), dtype=torch.float64, device=DEVICE)
    if dropout.kind == "shared":
        return dropout.factor_J
    node_N = torch.arange(shape[:3].numel(), device=DEVICE)
    mask = dropout.seed, node_N, shape[3], dropout.rate, torch.float64
    return elementwise_mask(*mask).view(shape)


def dense_logits(inputs: Inputs, activation="maxout", dropout=None):
    """Label logits [B, T, S, K] and emission logits [B, T, S], by the definition."""
    sum_BTSR = inputs.am_BTR.unsqueeze(2) + inputs.lm_BSR.unsqueeze(1)
    readout_BTSJ = ACTIVATIONS[activation](sum_BTSR)
    dropped = readout_BTSJ * factor_of(dropout, readout_BTSJ.shape)
    logits = F.linear(dropped, inputs.label_weight_KJ, inputs.label_bias_K)
    emission = F.linear(
        readout_BTSJ, inputs.emission_weight_1J, inputs.emission_bias_1
    )
    return logits, emission.squeeze(3)


def dense_loss(inputs: Inputs, targets, topology, options: JointOptions):
    """nll_B by the dense losses; blank is 0."""
    logits, emission = dense_logits(inputs, options.activation, options.dropout)
    labels_BL, *lengths = targets
    if options.emission == "softmax":
        scores = torch.cat([emission.unsqueeze(3), logits], dim=3)
        return softmax_loss(
            scores, labels_BL, *lengths, topology, 0, options=options.gradient
        )
    return factorised_loss(
        logits, emission, labels_BL - 1, *lengths, topology, options=options.gradient
    )


def gradients(nll_B: torch.Tensor, inputs: Inputs) -> List[torch.Tensor]:
    """Of a weighted sum over the batch, so that each sequence counts differently."""
    weight_B = torch.linspace(1.0, -0.5, len(nll_B), device=nll_B.device)
    finite = nll_B.masked_fill(~torch.isfinite(nll_B), 0.0)
    return list(torch.autograd.grad((finite * weight_B).sum(), inputs))


def relative_error(ours: torch.Tensor, right: torch.Tensor) -> float:
    """Largest difference over largest value."""
    ours, right = ours.detach(), right.detach()
    largest = float(right.abs().max()) or 1.0
    return float((ours.double() - right.double()).abs().max()) / largest
