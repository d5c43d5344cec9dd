"""What the kernels work on: projections, output layers, packed nodes, dropout."""

# Dimensions: A rows of am (B T), M rows of lm (B S), N packed nodes, K labels,
#             R readout before the activation, J after it
from dataclasses import dataclass
from typing import Optional

import torch

from espnet_ext.asr.loss.triton.blocks import Blocks, operand_dtype, padded
from espnet_ext.asr.loss.triton.dropout import threshold_of

ACTIVATIONS = ("maxout", "tanh", "relu", "none")


@dataclass(frozen=True)
class Dropout:
    """Dropout of the readout before the label softmax.

    Attributes:
        kind: ``none``, ``shared`` (one factor for each column) or ``elementwise``.
        factor_J: In the format of sums. For ``shared``: 0 or 1 / (1 - rate) for each
            column; for ``elementwise``: the one number 1 / (1 - rate).
        seed: For ``elementwise``: of ``fused_dropout.draw_seed``.
        rate: For ``elementwise``: probability of 0.
    """

    kind: str
    factor_J: torch.Tensor
    seed: int = 0
    rate: float = 0.0

    @property
    def threshold(self) -> int:
        """See ``keep_tile``."""
        return threshold_of(self.rate)


@dataclass(frozen=True)
class Joint:
    """Projections and output layers, in the layout that the kernels read.

    Attributes:
        am_AR, lm_MR: Projections, contiguous.
        weight_KJ: Label weight in the format of operands, filled up with zeros to
            ``padded(J)`` columns.
        bias_K: Label bias.
        emission_weight_J: Weight of the emission logit.
        columns: J.
        activation: One of ``ACTIVATIONS``.
        dropout: Of the readout, before the label softmax.
        blocks: Tile of the matrix products.
    """

    am_AR: torch.Tensor
    lm_MR: torch.Tensor
    weight_KJ: torch.Tensor
    bias_K: torch.Tensor
    emission_weight_J: torch.Tensor
    columns: int
    activation: str
    dropout: Dropout
    blocks: Blocks

    @property
    def labels(self) -> int:
        """K."""
        return self.weight_KJ.size(0)

    def readout_buffer(self, rows: int) -> torch.Tensor:
        """For the readout of so many nodes."""
        return self.weight_KJ.new_empty(rows, self.weight_KJ.size(1))


@dataclass(frozen=True)
class Nodes:
    """Packed nodes, in the order of their number b T S + t S + s.

    Attributes:
        am_row_N: b T + t, int32.
        lm_row_N: b S + s, int32.
        next_N: Unit 0..K-1 of the label that follows, int32; -1 for none.
        current_N: Unit of the label that was last; -1 for none. None where the
            topology does not repeat.
        positions: S.
    """

    am_row_N: torch.Tensor
    lm_row_N: torch.Tensor
    next_N: torch.Tensor
    current_N: Optional[torch.Tensor]
    positions: int

    def __len__(self) -> int:
        return self.am_row_N.numel()

    def __getitem__(self, index) -> "Nodes":
        """A slice, or the nodes of an index tensor."""
        current = None if self.current_N is None else self.current_N[index]
        return Nodes(
            self.am_row_N[index],
            self.lm_row_N[index],
            self.next_N[index],
            current,
            self.positions,
        )

    @property
    def id_N(self) -> torch.Tensor:
        """Number of the node in the padded lattice, int64."""
        position = self.lm_row_N.long() % self.positions
        return self.am_row_N.long() * self.positions + position


def padded_weight(weight_KJ: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The label weight as ``Joint`` wants it, for projections of this format."""
    labels, columns = weight_KJ.shape
    out = weight_KJ.new_zeros(labels, padded(columns), dtype=operand_dtype(dtype))
    out[:, :columns] = weight_KJ
    return out
