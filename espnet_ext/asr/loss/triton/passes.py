"""Forward and backward pass over packed nodes, one tile of nodes after the other.

What is alive at a time, besides numbers per node: the readout of one tile, its
gradient, and the gradient at the logits of one tile of nodes and labels. None of it
grows with the batch or with the vocabulary.
"""

# Dimensions: B batch, T frames, S positions, N packed nodes, K softmax units, H units
#             of a tile, A rows of am (B T), M rows of lm (B S), R, J readout
from dataclasses import dataclass
from typing import Iterator, List, NamedTuple, Optional, Tuple

import torch

from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.triton.blocks import padded
from espnet_ext.asr.loss.triton.joint import Joint
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients, label_gradient
from espnet_ext.asr.loss.triton.label_scores import LabelScores, label_scores
from espnet_ext.asr.loss.triton.readout import readout_of
from espnet_ext.asr.loss.triton.readout_backward import add_row_gradients, rows_of


@dataclass(frozen=True)
class Tiles:
    """How much is alive at a time: N x J and N x H numbers of these extents.

    The default keeps a GPU busy for some 0.1 ms with each launch and takes about 150 MB
    in bfloat16 and 300 MB in float32 at J = 500.
    """

    nodes: int = 32768
    labels: int = 2048

    def of_labels(self, count: int) -> Iterator[slice]:
        """Slices of all softmax units, of about equal length."""
        parts = max(1, -(-count // self.labels))
        length = padded(max(1, -(-count // parts)))
        for first in range(0, count, length):
            yield slice(first, min(first + length, count))


class Gradients(NamedTuple):
    """Of the loss, in the format of sums; no emission where the joint has none."""

    am_AR: torch.Tensor
    lm_MR: torch.Tensor
    weight_KJ: torch.Tensor
    bias_K: torch.Tensor
    emission_weight_J: Optional[torch.Tensor]
    emission_bias_1: Optional[torch.Tensor]


def forward_pass(
    joint: Joint, nodes: Nodes, tiles: Tiles
) -> Tuple[Optional[torch.Tensor], LabelScores]:
    """Emission logit (without bias) and softmax of all nodes."""
    buffer_NJ = joint.readout_buffer(min(tiles.nodes, len(nodes)))
    parts = []
    for some in list(nodes.tiles(tiles.nodes)) or [slice(0, 0)]:
        emission_N = readout_of(joint, nodes[some], buffer_NJ)
        parts.append((emission_N, *label_scores(joint, nodes[some], buffer_NJ)))
    columns = [None if part[0] is None else torch.cat(part) for part in zip(*parts)]
    return columns[0], LabelScores(*columns[1:])


def backward_pass(
    joint: Joint,
    nodes: Nodes,
    coefficients: LogitCoefficients,
    emission_gradient_N: Optional[torch.Tensor],
    lattice: Tuple[int, int],
    tiles: Tiles,
) -> Gradients:
    """Gradients of everything that goes in, from the coefficients of each node.

    Args:
        joint: As in the forward pass.
        nodes: The nodes that have a gradient, in order of their number.
        coefficients: Of the gradient at the softmax.
        emission_gradient_N: At the emission logit, if there is one.
        lattice: T and S.
        tiles: Extents of the buffers.
    """
    total = _zeros(joint)
    if emission_gradient_N is not None:
        total.emission_bias_1.copy_(emission_gradient_N.sum())
    slices = list(nodes.tiles(tiles.nodes))
    if not slices:
        return total
    labels = list(tiles.of_labels(joint.units))
    width = padded(labels[0].stop) if labels else 0
    rows = slices[0].stop
    readout_buffer = joint.readout_buffer(rows)
    logit_buffer = readout_buffer.new_empty(rows, width)
    gradient_buffer = readout_buffer.new_empty(
        readout_buffer.shape, dtype=joint.sum_dtype
    )
    for some, ends in zip(slices, _ends(nodes, slices)):
        part, count = nodes[some], some.stop - some.start
        readout_NJ = readout_buffer[:count]
        readout_of(joint, part, readout_NJ)
        gradient_NJ = gradient_buffer[:count].zero_()
        for k in labels:
            logit_NH = logit_buffer[:count]
            sums_H = label_gradient(
                joint, part, readout_NJ, coefficients.at(some), k.start, logit_NH
            )
            units = k.stop - k.start
            total.bias_K[k] += sums_H[:units]
            logit_NH = logit_NH[:, :units]
            add_product(gradient_NJ, logit_NH, joint.weight_KJ[k])
            readout = readout_NJ[:, : joint.columns]
            add_product(total.weight_KJ[k], logit_NH.t(), readout)
        emission_N = None if emission_gradient_N is None else emission_gradient_N[some]
        _add_inputs(joint, part, ends, lattice, gradient_NJ, emission_N, total)
    total.weight_KJ.mul_(joint.weight_factor)
    return total


def _add_inputs(
    joint: Joint, part: Nodes, ends, lattice, gradient_NJ, emission_N, total: Gradients
) -> None:
    """What the nodes of a tile send to am, lm and the emission weight."""
    first, last = ends
    frames, positions = lattice
    am_rows = rows_of(part.frame_N, first, last + 1)
    emits = emission_N is not None
    sent = gradient_NJ, emission_N
    weight_J = add_row_gradients(joint, part, am_rows, *sent, total.am_AR, emits)
    if emits:
        total.emission_weight_J.add_(weight_J)
    sequences = first // frames, last // frames + 1
    lm_rows = rows_of(part.position_N, *(b * positions for b in sequences))
    add_row_gradients(joint, part, lm_rows, *sent, total.lm_MR)


def _zeros(joint: Joint) -> Gradients:
    def zeros(*shape: int) -> torch.Tensor:
        return joint.am_AR.new_zeros(shape, dtype=joint.sum_dtype)

    emits = joint.emission_weight_J is not None
    return Gradients(
        zeros(*joint.am_AR.shape),
        zeros(*joint.lm_MR.shape),
        zeros(joint.units, joint.columns),
        zeros(joint.units),
        zeros(joint.columns) if emits else None,
        zeros(1) if emits else None,
    )


def _ends(nodes: Nodes, slices: List[slice]) -> List[List[int]]:
    """First and last row of am of each slice; one transfer from the GPU for all."""
    places = [[some.start, some.stop - 1] for some in slices]
    return nodes.frame_N[torch.tensor(places, device=nodes.frame_N.device)].tolist()


def add_product(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """out += a b, summed up in the format of ``out``."""
    if a.dtype == out.dtype:
        out.addmm_(a, b)
    else:
        out += torch.mm(a, b, out_dtype=out.dtype)
