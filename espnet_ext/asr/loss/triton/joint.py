"""What the kernels work on: projections and output layers, in the layout they read."""

# Dimensions: A rows of am (B T), M rows of lm (B S), N packed nodes, K softmax units,
#             R readout before the activation, J after it
from dataclasses import dataclass
from typing import Optional

import torch

from espnet_ext.asr.loss.fused_function import Plan
from espnet_ext.asr.loss.fused_readout import ACTIVATIONS
from espnet_ext.asr.loss.triton.blocks import (
    Blocks,
    default_blocks,
    operand_dtype,
    padded,
    sum_dtype,
)


@dataclass(frozen=True)
class Joint:
    """Projections and output layers.

    Attributes:
        am_AR, lm_MR: Projections, contiguous.
        weight_KJ: Softmax weights in the format of operands, filled up with zeros to
            ``padded(J)`` columns, times ``weight_factor``.
        weight_factor: What dropout multiplies the columns with that it keeps: [J] for a
            shared mask, else a number.
        bias_K: Softmax bias.
        emission_weight_J: Weights of the emission logit, or None.
        columns: J.
        activation: A key of ``fused_readout.ACTIVATIONS``.
        dropout_rate, dropout_seed: Of the elementwise masks; rate 0 for none.
        blank_unit: Softmax unit of blank, or None.
        blocks: Tile of the matrix products.
    """

    am_AR: torch.Tensor
    lm_MR: torch.Tensor
    weight_KJ: torch.Tensor
    weight_factor: torch.Tensor
    bias_K: torch.Tensor
    emission_weight_J: Optional[torch.Tensor]
    columns: int
    activation: str
    dropout_rate: float
    dropout_seed: int
    blank_unit: Optional[int]
    blocks: Blocks

    @property
    def units(self) -> int:
        """K."""
        return self.weight_KJ.size(0)

    @property
    def sum_dtype(self) -> torch.dtype:
        """Format in which is summed."""
        return sum_dtype(self.am_AR.dtype)

    def readout_buffer(self, rows: int) -> torch.Tensor:
        """For the readout of so many nodes."""
        return self.weight_KJ.new_empty(rows, self.weight_KJ.size(1))


def joint_of(
    am_BTR: torch.Tensor,
    lm_BSR: torch.Tensor,
    label_weight_KJ: torch.Tensor,
    label_bias_K: torch.Tensor,
    emission_weight_1J: Optional[torch.Tensor],
    plan: Plan,
    blocks: Optional[Blocks] = None,
) -> Joint:
    """The kernels' view of the inputs; the projections have one format."""
    dtype, (units, columns) = am_BTR.dtype, label_weight_KJ.shape
    exact = sum_dtype(dtype)
    factor = label_weight_KJ.new_tensor(1.0 / (1.0 - plan.dropout_rate), dtype=exact)
    if plan.mask_J is not None:
        factor = plan.mask_J.to(exact)
    weight_KJ = label_weight_KJ.new_zeros(
        units, padded(columns), dtype=operand_dtype(dtype)
    )
    weight_KJ[:, :columns] = label_weight_KJ * factor
    emission_weight_J = None
    if emission_weight_1J is not None:
        emission_weight_J = emission_weight_1J.reshape(-1).contiguous()
    return Joint(
        am_BTR.reshape(-1, am_BTR.size(2)).contiguous(),
        lm_BSR.reshape(-1, lm_BSR.size(2)).contiguous(),
        weight_KJ,
        factor,
        label_bias_K.contiguous(),
        emission_weight_J,
        columns,
        next(name for name, x in ACTIVATIONS.items() if x is plan.activation),
        plan.dropout_rate,
        plan.dropout_seed,
        plan.blank_unit,
        blocks or default_blocks(dtype),
    )
