"""Kernels' view of the small joints of ``tests/asr/loss/joints.py``."""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K softmax units,
#             R readout before the activation, J after it, N packed nodes
from typing import NamedTuple, Optional

import pytest
import torch
import torch.nn.functional as F

triton = pytest.importorskip("triton", reason="Triton comes with torch on Linux only")

from espnet_ext.asr.loss.fused_dropout import elementwise_mask  # noqa: E402
from espnet_ext.asr.loss.fused_function import Plan  # noqa: E402
from espnet_ext.asr.loss.fused_readout import get_activation  # noqa: E402
from espnet_ext.asr.loss.fused_scores import Nodes  # noqa: E402
from espnet_ext.asr.loss.node_gradient import GradientOptions  # noqa: E402
from espnet_ext.asr.loss.topology import get_topology  # noqa: E402
from espnet_ext.asr.loss.triton.blocks import interpreting  # noqa: E402
from espnet_ext.asr.loss.triton.joint import Joint, joint_of  # noqa: E402

DEVICE = "cpu" if interpreting() else "cuda"
SEED = 2**61 + 12345
RATE = 0.4
ACTIVATIONS = {
    "maxout": lambda x: torch.maximum(*x.unflatten(-1, (-1, 2)).unbind(-1)),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "none": torch.clone,
}


class KernelCase(NamedTuple):
    """A joint, every node of its lattice, and the same in plain PyTorch.

    Attributes:
        joint, nodes: What kernels get.
        inputs: am, lm, label weight, label bias, emission weight; float64 leaves.
        readout_NJ: Readout without dropout, with a graph.
        dropped_NJ: With dropout.
        logits_NK: Softmax logits.
    """

    joint: Joint
    nodes: Nodes
    inputs: list
    readout_NJ: torch.Tensor
    dropped_NJ: torch.Tensor
    logits_NK: torch.Tensor


def mask_of(dropout: Optional[str], columns: int, count: int) -> torch.Tensor:
    """What dropout multiplies the readout with, [J] or [N, J]."""
    if dropout == "shared":
        keep_J = torch.arange(columns, device=DEVICE) % 3 != 1
        return keep_J.double() / (1 - RATE)
    if dropout == "elementwise":
        node_N = torch.arange(count, device=DEVICE)
        return elementwise_mask(SEED, node_N, columns, RATE, torch.float64)
    return torch.ones(columns, dtype=torch.float64, device=DEVICE)


def kernel_case(
    columns=5, units=19, activation="maxout", dropout=None, repeats=False, blank=None
) -> KernelCase:
    """Two sequences of 5 frames and 4 positions."""
    batch, frames, positions = 2, 5, 4
    generator = torch.Generator().manual_seed(3)
    size = 2 * columns if activation == "maxout" else columns
    shapes = [(batch, frames, size), (batch, positions, size)]
    shapes += [(units, columns), (units,), (1, columns)]
    inputs = [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        .to(DEVICE)
        .requires_grad_()
        for shape in shapes
    ]
    count = batch * frames * positions
    mask = mask_of(dropout, columns, count)
    plan = Plan(
        labels_BL=torch.zeros(batch, positions - 1, dtype=torch.long, device=DEVICE),
        frame_lens_B=torch.full((batch,), frames, device=DEVICE),
        label_lens_B=torch.full((batch,), positions - 1, device=DEVICE),
        topology=get_topology("rna"),
        blank=0,
        blank_unit=blank,
        activation=get_activation(activation),
        options=GradientOptions(),
        mask_J=mask if dropout == "shared" else None,
        dropout_rate=RATE if dropout == "elementwise" else 0.0,
        dropout_seed=SEED,
        threshold=0.0,
        tile=0,
    )
    joint = joint_of(*(x.detach() for x in inputs), plan)
    node_N = torch.arange(count, device=DEVICE)
    frame_N = node_N // positions
    nodes = Nodes(
        node_N,
        frame_N,
        frame_N // frames * positions + node_N % positions,
        (7 * node_N + 3) % units,
        (5 * node_N + 1) % units if repeats else None,
    )
    sum_BTSR = inputs[0].unsqueeze(2) + inputs[1].unsqueeze(1)
    readout_NJ = ACTIVATIONS[activation](sum_BTSR).flatten(0, 2)
    dropped_NJ = readout_NJ * mask
    logits_NK = F.linear(dropped_NJ, inputs[2], inputs[3])
    return KernelCase(joint, nodes, inputs, readout_NJ, dropped_NJ, logits_NK)
