"""LSTM whose units keep their previous value with some probability.

    c_t = c_{t-1} + m_c (c' - c_{t-1}),   h_t = h_{t-1} + m_h (h' - h_{t-1})

with c', h' of a plain LSTM step and masks m that are 0 with the zoneout probability in
training; in evaluation they are replaced by their mean. As in TensorFlow's LSTMCell,
1 is added to the forget gate before the sigmoid, and the initial values are those of
one matrix for inputs and recurrence together.

Ref: Krueger et al. 2017. Source: reference/models.md (e) ``declstmz``.
"""

# Dimensions: B batch, T frames, F input feature, H hidden size
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.growing import Sizes
from espnet_ext.layers.init import uniform_limit
from espnet_ext.layers.lstm import Lstm, State

FORGET_BIAS = 1.0
STEP_OUTPUTS = ("plain", "zoned")


class ZoneoutLstm(Lstm):
    """One unidirectional layer, batch first.

    Args:
        input_size: F.
        hidden_size: H.
        cell: Zoneout probability of the cell.
        output: Zoneout probability of the output.
        step_output: ``plain``: h' is given out and only the state is zoned out (the
            original); ``zoned``: h_t.
        recurrent_dropout: See Lstm.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell: float = 0.15,
        output: float = 0.05,
        step_output: str = "plain",
        recurrent_dropout: float = 0.0,
    ):
        super().__init__(input_size, hidden_size, recurrent_dropout)
        if step_output not in STEP_OUTPUTS:
            raise ValueError(
                f"zoneout step_output {step_output!r}: expected one of {STEP_OUTPUTS}"
            )
        for name, rate in (("cell", cell), ("output", output)):
            if not 0.0 <= rate <= 1.0:
                raise ValueError(f"zoneout {name} {rate}: expected 0 to 1")
        self.cell = cell
        self.output = output
        self.step_output = step_output

    def initialise(self, stages: Sequence[Sizes]) -> None:
        """Glorot uniform of one matrix for inputs and recurrence together."""
        rows = self.input_size + self.hidden_size
        for name in ("weight_ih", "weight_hh"):
            self.draw(name, stages, lambda gates, _: uniform_limit(rows, gates))

    def _zone_out(self, old: torch.Tensor, new: torch.Tensor, rate: float):
        if rate == 0.0:
            return new
        if not self.training:
            return torch.lerp(new, old, rate)
        keep = torch.empty_like(old).bernoulli_(1.0 - rate)
        return old + keep * (new - old)

    def forward(
        self,
        x_BTF: torch.Tensor,
        state: Optional[State] = None,
        recurrent_weight: Optional[torch.Tensor] = None,
    ) -> Tuple[torch.Tensor, State]:
        """Outputs [B, T, H] and the state after the last frame, see Lstm."""
        if state is None:
            state = self.zero_state(x_BTF.size(0))
        h, c = state[0][0].to(x_BTF.dtype), state[1][0].to(x_BTF.dtype)
        weight_hh = recurrent_weight
        if weight_hh is None:
            weight_hh = self.recurrent_weight()
        outputs: List[torch.Tensor] = []
        for gates in F.linear(x_BTF, self.weight_ih, self.bias).unbind(1):
            i, f, g, o = (gates + F.linear(h, weight_hh)).chunk(4, dim=1)
            kept = (f + FORGET_BIAS).sigmoid() * c
            new_c = kept + i.sigmoid() * g.tanh()
            new_h = o.sigmoid() * new_c.tanh()
            h = self._zone_out(h, new_h, self.output)
            c = self._zone_out(c, new_c, self.cell)
            outputs.append(new_h if self.step_output == "plain" else h)
        if not outputs:
            y_BTH = x_BTF.new_zeros(x_BTF.size(0), 0, self.hidden_size)
        else:
            y_BTH = torch.stack(outputs, dim=1)
        return y_BTH, (h.unsqueeze(0), c.unsqueeze(0))
