"""Forward and backward pass over packed nodes, one tile of nodes after the other.

What is alive at a time, besides numbers per node: the readout of one tile, its
gradient, and the gradient at the logits of one tile of nodes and labels. None of it
grows with the batch or with the vocabulary.
"""

# Dimensions: B batch, T frames, S positions, N packed nodes, K labels, H labels of a
#             tile, A rows of am (B T), M rows of lm (B S), R, J readout
from dataclasses import dataclass
from typing import Iterator, NamedTuple, Tuple

import torch

from espnet_ext.asr.loss.triton.blocks import COLUMNS, operand_dtype, sum_dtype
from espnet_ext.asr.loss.triton.joint import Joint, Nodes
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

    def of_nodes(self, count: int) -> Iterator[slice]:
        """Slices of all nodes."""
        for first in range(0, count, self.nodes):
            yield slice(first, min(first + self.nodes, count))

    def of_labels(self, count: int) -> Iterator[slice]:
        """Slices of all labels, of about equal length."""
        parts = -(-count // self.labels)
        length = -(-count // (parts * COLUMNS)) * COLUMNS
        for first in range(0, count, length):
            yield slice(first, min(first + length, count))


class Gradients(NamedTuple):
    """Of the loss, in the format of sums."""

    am_AR: torch.Tensor
    lm_MR: torch.Tensor
    weight_KJ: torch.Tensor
    bias_K: torch.Tensor
    emission_weight_J: torch.Tensor
    emission_bias_1: torch.Tensor


def forward_pass(
    joint: Joint, nodes: Nodes, tiles: Tiles
) -> Tuple[torch.Tensor, LabelScores]:
    """Emission logit (without bias) and label scores of all nodes."""
    buffer_NJ = joint.readout_buffer(min(tiles.nodes, len(nodes)))
    parts = []
    for some in list(tiles.of_nodes(len(nodes))) or [slice(0, 0)]:
        emission_N = readout_of(joint, nodes[some], buffer_NJ)
        parts.append((emission_N, *label_scores(joint, nodes[some], buffer_NJ)))
    columns = [None if part[0] is None else torch.cat(part) for part in zip(*parts)]
    return columns[0], LabelScores(*columns[1:])


def backward_pass(
    joint: Joint,
    nodes: Nodes,
    coefficients: LogitCoefficients,
    emission_gradient_N: torch.Tensor,
    frames: int,
    tiles: Tiles,
) -> Gradients:
    """Gradients of everything that goes in, from the coefficients of each node.

    Args:
        joint: As in the forward pass.
        nodes: The nodes that have a gradient, in order of their number.
        coefficients: Of the gradient at the label logits.
        emission_gradient_N: At the emission logit.
        frames: T.
        tiles: Extents of the buffers.
    """
    total = _zeros(joint)
    total.emission_bias_1.copy_(emission_gradient_N.sum())
    if not len(nodes):
        return total
    rows = min(tiles.nodes, len(nodes))
    readout_buffer = joint.readout_buffer(rows)
    widths = [-(-(k.stop - k.start) // COLUMNS) * COLUMNS for k in tiles.of_labels(joint.labels)]
    logit_buffer = readout_buffer.new_empty(rows * max(widths))
    slices = list(tiles.of_nodes(len(nodes)))
    # one transfer for all tiles: which rows of am a tile begins and ends with
    ends = [[part.start, part.stop - 1] for part in slices]
    for some, (first, last) in zip(slices, _ends(nodes.am_row_N, ends)):
        part = nodes[some]
        readout_NJ = readout_buffer[: len(part)]
        readout_of(joint, part, readout_NJ)
        gradient_NJ = torch.zeros_like(readout_NJ, dtype=total.am_AR.dtype)
        for (k, width) in zip(tiles.of_labels(joint.labels), widths):
            logit_NH = logit_buffer[: len(part) * width].view(len(part), width)
            sums_H = label_gradient(joint, part, readout_NJ, coefficients.at(some), k.start, logit_NH)
            count = k.stop - k.start
            total.bias_K[k] += sums_H[:count]
            logit_NH = logit_NH[:, :count]
            add_product(gradient_NJ, logit_NH, joint.weight_KJ[k])
            readout = readout_NJ[:, : joint.columns]
            add_product(total.weight_KJ[k], logit_NH.t(), readout)
        emission_N = emission_gradient_N[some]
        am_rows = rows_of(part.am_row_N, first, last + 1)
        total.emission_weight_J.add_(
            add_row_gradients(joint, part, am_rows, gradient_NJ, emission_N, total.am_AR, with_weight=True)
        )
        sequences = first // frames, last // frames + 1
        lm_rows = rows_of(part.lm_row_N, *(b * nodes.positions for b in sequences))
        add_row_gradients(joint, part, lm_rows, gradient_NJ, emission_N, total.lm_MR)
    return total


def _zeros(joint: Joint) -> Gradients:
    def zeros(*shape):
        return joint.am_AR.new_zeros(shape, dtype=sum_dtype(joint.am_AR.dtype))

    return Gradients(
        zeros(*joint.am_AR.shape),
        zeros(*joint.lm_MR.shape),
        zeros(joint.labels, joint.columns),
        zeros(joint.labels),
        zeros(joint.columns),
        zeros(1),
    )


def _ends(row_N: torch.Tensor, indices: list) -> list:
    return row_N[torch.tensor(indices, device=row_N.device)].tolist()


def add_product(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """out += a b, summed up in the format of ``out``."""
    if a.dtype == out.dtype:
        out.addmm_(a, b)
    else:
        out += torch.mm(a, b, out_dtype=out.dtype)
