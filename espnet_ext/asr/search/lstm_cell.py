"""One LSTM step for many hypotheses, each with the same bits in any batch.

Products are RowProducts, and the only transcendental function is tanh; a sigmoid is
(1 + tanh(x / 2)) / 2: torch's sigmoid differs in the last bit at the end of an array,
its tanh does not. What depends on a label alone, its vector times the input weights, is
a table.
"""

# Dimensions: E rows, F input, H hidden, G = 4 H gates in the order i, f, g, o,
#             V vocabulary with blank
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.search.products import RowProduct
from espnet_ext.layers.zoneout_lstm import FORGET_BIAS, ZoneoutLstm


class Zoneout(NamedTuple):
    """Shares of the previous cell and output, and whether these are given out too."""

    cell: float
    output: float
    plain_output: bool


class LstmCell:
    """A step in evaluation; the weights are copied.

    Args:
        weight_ih_GF, weight_hh_GH, bias_G: As in torch.nn.LSTM, one bias.
        inputs_VF: What each label feeds; then ``inputs`` of a step are labels. None for
            a layer above another one.
        zoneout: See ZoneoutLstm; its forget bias is part of ``bias_G``.
    """

    def __init__(
        self,
        weight_ih_GF: torch.Tensor,
        weight_hh_GH: torch.Tensor,
        bias_G: torch.Tensor,
        inputs_VF: Optional[torch.Tensor] = None,
        zoneout: Optional[Zoneout] = None,
    ):
        size = weight_hh_GH.size(1)
        # halved where a sigmoid follows: exact, and one tanh serves all four gates
        halves_G = bias_G.new_full((4 * size,), 0.5)
        halves_G[2 * size : 3 * size] = 1.0
        self.recurrent = RowProduct(weight_hh_GH * halves_G.unsqueeze(1))
        self.table_VG = self.inputs = None
        if inputs_VF is None:
            weight = weight_ih_GF * halves_G.unsqueeze(1)
            self.inputs = RowProduct(weight, bias_G * halves_G)
        else:
            self.table_VG = F.linear(inputs_VF, weight_ih_GF, bias_G) * halves_G
        self.zoneout = zoneout

    @classmethod
    def of(cls, lstm, inputs_VF: torch.Tensor) -> "LstmCell":
        """From one of our layers (Lstm or ZoneoutLstm)."""
        bias_G, zoneout = lstm.bias, None
        if isinstance(lstm, ZoneoutLstm):
            size = lstm.hidden_size
            bias_G = bias_G.clone()
            bias_G[size : 2 * size] += FORGET_BIAS
            zoneout = Zoneout(lstm.cell, lstm.output, lstm.step_output == "plain")
        return cls(lstm.weight_ih, lstm.weight_hh, bias_G, inputs_VF, zoneout)

    def __call__(
        self, inputs: torch.Tensor, h_EH: torch.Tensor, c_EH: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output, h and c, each [E, H], after labels [E] or inputs [E, F]."""
        if self.inputs is None:
            gates_EG = self.table_VG.index_select(0, inputs)
        else:
            gates_EG = self.inputs(inputs)
        gates_EG = (gates_EG + self.recurrent(h_EH)).tanh_()
        i, f, g, o = gates_EG.chunk(4, dim=1)
        new_c = (f * 0.5 + 0.5) * c_EH + (i * 0.5 + 0.5) * g
        new_h = (o * 0.5 + 0.5) * new_c.tanh()
        if self.zoneout is None:
            return new_h, new_h, new_c
        zoned_h = new_h + (h_EH - new_h) * self.zoneout.output
        zoned_c = new_c + (c_EH - new_c) * self.zoneout.cell
        return new_h if self.zoneout.plain_output else zoned_h, zoned_h, zoned_c
