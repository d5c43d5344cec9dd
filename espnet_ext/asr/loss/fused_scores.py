"""Scores of the arcs of packed nodes, tile by tile: the forward pass of the fused loss.

For a tile of at most 512 nodes: readout, label logits, their log-sum-exp, the logits of
the next and the current label. Three numbers a node remain, and the logits are gone.
"""

# Dimensions: B batch, T frames, S positions, N nodes, K units of the softmax, J readout
import dataclasses
from typing import Iterator, NamedTuple, Optional

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.fused_dropout import elementwise_mask
from espnet_ext.asr.loss.fused_readout import Readout
from espnet_ext.layers.products import linear

# exp(z) and the sum of K of them stay normal numbers if the log of the sum is in there
SAFE_LOG_SUM = 55.0


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Packed nodes of a lattice [B, T, S], in that order.

    Attributes:
        node_N: Number of each node in the whole lattice.
        frame_N: Its row among B T frames.
        position_N: Its row among B S positions.
        next_N: Softmax unit of the next label; any where there is none.
        current_N: Softmax unit of the current label; None if nothing repeats.
    """

    node_N: torch.Tensor
    frame_N: torch.Tensor
    position_N: torch.Tensor
    next_N: torch.Tensor
    current_N: Optional[torch.Tensor]

    def __len__(self) -> int:
        return len(self.node_N)

    def __getitem__(self, choice) -> "Nodes":
        fields = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Nodes(*(x if x is None else x[choice] for x in fields))

    def tiles(self, size: int) -> Iterator[slice]:
        """Slices of at most ``size`` nodes."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))


def pack(
    mask_BTS: torch.Tensor, next_BS: torch.Tensor, current_BS: Optional[torch.Tensor]
) -> Nodes:
    """The nodes of a mask.

    Args:
        mask_BTS: Which nodes.
        next_BS: Softmax unit of label u + 1.
        current_BS: Softmax unit of label u, or None.
    """
    _, frames, positions = mask_BTS.shape
    node_N = mask_BTS.flatten().nonzero().squeeze(1)
    frame_N = node_N.div(max(positions, 1), rounding_mode="floor")
    sequence_N = frame_N.div(max(frames, 1), rounding_mode="floor")
    position_N = sequence_N * positions + node_N % max(positions, 1)
    index = (x if x is None else x.flatten()[position_N] for x in (next_BS, current_BS))
    return Nodes(node_N, frame_N, position_N, *index)


class Outputs(NamedTuple):
    """Output layers, in the type to compute in.

    Attributes:
        label_weight_KJ: Softmax weights; a shared dropout mask is multiplied in.
        label_bias_K: Softmax bias.
        emission_weight_J: Weights of the emission logit, or None.
        emission_bias_1: Its bias, or None.
        dropout_rate: Of elementwise dropout before the softmax, or 0.
        dropout_seed: Of its masks.
    """

    label_weight_KJ: torch.Tensor
    label_bias_K: torch.Tensor
    emission_weight_J: Optional[torch.Tensor]
    emission_bias_1: Optional[torch.Tensor]
    dropout_rate: float
    dropout_seed: int

    def dropped(self, readout_NJ: torch.Tensor, node_N: torch.Tensor):
        """Readout as the softmax sees it, and the elementwise mask if there is one."""
        if not self.dropout_rate:
            return readout_NJ, None
        mask_NJ = elementwise_mask(
            self.dropout_seed,
            node_N,
            readout_NJ.size(1),
            self.dropout_rate,
            readout_NJ.dtype,
        )
        return readout_NJ * mask_NJ, mask_NJ

    def emission(self, readout_NJ: torch.Tensor) -> torch.Tensor:
        """Emission logit [N]."""
        return _dot(readout_NJ, self.emission_weight_J, self.emission_bias_1)

    def label(self, dropped_NJ: torch.Tensor, unit_N: torch.Tensor) -> torch.Tensor:
        """Logit [N] of one unit a node."""
        weight_NJ = self.label_weight_KJ.index_select(0, unit_N)
        return _dot(dropped_NJ, weight_NJ, self.label_bias_K[unit_N])


def _dot(x_NJ: torch.Tensor, y: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """sum_j x y + bias, summed in a tree and so ten times more exact than a product.

    The errors of these few logits go into all gradients; those of the others cancel.
    """
    return (x_NJ * y).sum(1).double() + bias


class NodeScores(NamedTuple):
    """What the dynamic program and the backward pass need of each node, float64.

    Attributes:
        log_sum_N: log sum_k exp(z_k).
        blank_N: Score of the blank arc.
        label_N: Score of the arc of the next label.
        repeat_N: Score of the arc of the current label, or None.
    """

    log_sum_N: torch.Tensor
    blank_N: torch.Tensor
    label_N: torch.Tensor
    repeat_N: Optional[torch.Tensor]


def node_scores(
    readout: Readout,
    outputs: Outputs,
    nodes: Nodes,
    tile: int,
    label_scale: float,
    blank_unit: Optional[int],
) -> NodeScores:
    """Scores of all arcs.

    Args:
        readout: Tables of the two inputs.
        outputs: Output layers.
        nodes: Packed nodes.
        tile: Nodes computed at once.
        label_scale: Factor on the label part of the score.
        blank_unit: Softmax unit of blank; None with an emission sigmoid.
    """

    def new():
        return torch.empty(len(nodes), dtype=torch.float64, device=nodes.node_N.device)

    result = NodeScores(new(), new(), new(), None if nodes.current_N is None else new())
    for part in nodes.tiles(tile):
        some = nodes[part]
        readout_NJ = readout.rows(some.frame_N, some.position_N)
        dropped_NJ, _ = outputs.dropped(readout_NJ, some.node_N)
        logits_NK = linear(dropped_NJ, outputs.label_weight_KJ, outputs.label_bias_K)
        label_N = outputs.label(dropped_NJ, some.next_N)
        repeat_N = None
        if some.current_N is not None:
            repeat_N = outputs.label(dropped_NJ, some.current_N)
        if blank_unit is not None:
            blank_N = outputs.label(
                dropped_NJ, torch.full_like(some.node_N, blank_unit)
            )
        log_sum_N = _log_sum(logits_NK.exp_())
        if not bool((log_sum_N.abs() < SAFE_LOG_SUM).all()):
            linear_again = linear(
                dropped_NJ, outputs.label_weight_KJ, outputs.label_bias_K
            )
            log_sum_N = linear_again.double().logsumexp(1)
        del logits_NK
        if blank_unit is None:
            emission_N = outputs.emission(readout_NJ)
            blank_N, emit_N = F.logsigmoid(-emission_N), F.logsigmoid(emission_N)
        else:
            blank_N, emit_N = blank_N - log_sum_N, 0.0
        result.log_sum_N[part] = log_sum_N
        result.blank_N[part] = blank_N
        result.label_N[part] = emit_N + label_scale * (label_N - log_sum_N)
        if repeat_N is not None:
            result.repeat_N[part] = emit_N + label_scale * (repeat_N - log_sum_N)
    return result


def _log_sum(exponentials_NK: torch.Tensor) -> torch.Tensor:
    return exponentials_NK.sum(1).double().log_()


def spread(values_N: torch.Tensor, nodes: Nodes, lattice: torch.Size) -> torch.Tensor:
    """[B, T, S] with the values at their nodes and 0 elsewhere."""
    dense = values_N.new_zeros(lattice.numel())
    dense[nodes.node_N] = values_N
    return dense.view(lattice)
