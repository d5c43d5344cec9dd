"""LSTM with one bias and Glorot initialisation, as RETURNN's ``nn.LSTM``.

torch.nn.LSTM has two biases that are always added; training both doubles the bias'
learning rate and its weight decay. Gates are stored in PyTorch's order input, forget,
cell-in, output (RETURNN: cell-in, input, forget, output; the importer reorders).
"""

# Dimensions: B batch, T frames, F input feature, H hidden size per direction
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.evaluation import is_evaluated_on_cpu, zero_after_
from espnet_ext.layers.growing import Axis, GrowingModule, Sizes, fixed
from espnet_ext.layers.init import uniform_limit

State = Tuple[torch.Tensor, torch.Tensor]  # (h, c), each [1, B, H]


class Lstm(GrowingModule):
    """One unidirectional LSTM layer without peepholes, batch first.

    Args:
        input_size: F.
        hidden_size: H.
        recurrent_dropout: Rate of elementwise dropout on the recurrent matrix in
            training, one mask for all frames (``declstmwdrop``).
        in_axis: Input features, where they grow.
        hidden_kind: Kind of axis that H follows, where it grows.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_dropout: float = 0.0,
        in_axis: Optional[Axis] = None,
        hidden_kind: Optional[str] = None,
    ):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.recurrent_dropout = recurrent_dropout
        self.weight_ih = torch.nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = torch.nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = torch.nn.Parameter(torch.zeros(4 * hidden_size))
        gates = Axis(hidden_kind, 4 * hidden_size, 4)
        self.axes = {
            "weight_ih": (gates, in_axis or fixed(input_size)),
            "weight_hh": (gates, Axis(hidden_kind, hidden_size)),
            "bias": (gates,),
        }
        self.initialise([])

    def initialise(self, stages: Sequence[Sizes]) -> None:
        """Both matrices Glorot uniform, with the limit of the first stage that uses an
        entry; all four gates count as outputs.
        """
        for name in ("weight_ih", "weight_hh"):
            self.draw(name, stages, lambda gates, inputs: uniform_limit(inputs, gates))

    def zero_state(self, batch_size: int) -> State:
        """Initial state (h, c) of zeros, each [1, B, H]."""
        bias = self.used("bias")
        zeros = bias.new_zeros(1, batch_size, bias.size(0) // 4)
        return zeros, zeros

    def recurrent_weight(self) -> torch.Tensor:
        """The recurrent matrix [4H, H], in training with its dropout."""
        weight = self.used("weight_hh")
        if self.training and self.recurrent_dropout > 0.0:
            return F.dropout(weight, self.recurrent_dropout)
        return weight

    def forward(
        self,
        x_BTF: torch.Tensor,
        state: Optional[State] = None,
        recurrent_weight: Optional[torch.Tensor] = None,
    ) -> Tuple[torch.Tensor, State]:
        """Run over all frames: outputs [B, T, H] and the state after the last one.

        The whole padded block goes to one kernel call: on the CPU the oneDNN kernel is
        about ten times faster than the one for packed sequences. ``recurrent_weight``
        takes the place of ``recurrent_weight()``: several calls share its dropout mask.
        """
        if x_BTF.size(1) == 0:
            state = self.zero_state(x_BTF.size(0)) if state is None else state
            return x_BTF.new_zeros(x_BTF.size(0), 0, state[0].size(2)), state
        if state is None:
            state = self.zero_state(x_BTF.size(0))
        bias = self.used("bias")
        state = (state[0].to(x_BTF.dtype), state[1].to(x_BTF.dtype))
        weights = [
            self.used("weight_ih"),
            self.recurrent_weight() if recurrent_weight is None else recurrent_weight,
            bias,
            torch.zeros_like(bias),
        ]
        y_BTH, h, c = torch._VF.lstm(
            x_BTF, state, weights, True, 1, 0.0, self.training, False, True
        )
        return y_BTH, (h, c)


def reverse_by_length(x_BTF: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Reverse the first ``lengths[b]`` frames of each sequence, keep the padding."""
    frames_T = torch.arange(x_BTF.size(1), device=x_BTF.device)
    lengths_B1 = lengths_B.to(x_BTF.device).unsqueeze(1)
    index_BT = torch.where(
        frames_T < lengths_B1, lengths_B1 - 1 - frames_T, frames_T.expand(1, -1)
    )
    # whole rows of one table: several times as fast as to gather single entries
    rows_B1 = torch.arange(x_BTF.size(0), device=x_BTF.device).unsqueeze(1)
    index_N = (rows_B1 * x_BTF.size(1) + index_BT).flatten()
    return x_BTF.flatten(0, 1).index_select(0, index_N).view_as(x_BTF)


class Blstm(torch.nn.Module):
    """Forward and backward LSTM, outputs concatenated: [B, T, 2H].

    The backward direction starts at the last valid frame of each sequence. Outputs on
    padded frames are exactly zero, as in RETURNN. Arguments as Lstm's.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        in_axis: Optional[Axis] = None,
        hidden_kind: Optional[str] = None,
    ):
        super().__init__()
        growth = {"in_axis": in_axis, "hidden_kind": hidden_kind}
        self.forward_lstm = Lstm(input_size, hidden_size, **growth)
        self.backward_lstm = Lstm(input_size, hidden_size, **growth)

    def forward(self, x_BTF: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Outputs [B, T, 2H] for inputs [B, T, F] of which lengths [B] are valid."""
        if is_evaluated_on_cpu(x_BTF) and x_BTF.numel():
            return self._evaluated(x_BTF, lengths_B)
        y_forward, _ = self.forward_lstm(x_BTF)
        y_backward, _ = self.backward_lstm(reverse_by_length(x_BTF, lengths_B))
        y_backward = reverse_by_length(y_backward, lengths_B)
        y = torch.cat([y_forward, y_backward], dim=2)
        frames_T = torch.arange(x_BTF.size(1), device=x_BTF.device)
        valid_BT = frames_T < lengths_B.to(x_BTF.device).unsqueeze(1)
        return y.masked_fill(~valid_BT.unsqueeze(2), 0.0)

    def _evaluated(self, x_BTF: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """The same numbers with frames as the outer dimension in memory, as the kernels
        have it, and hardly more copies than results.
        """
        if torch.is_autocast_enabled("cpu") and x_BTF.dtype == torch.float32:
            x_BTF = x_BTF.to(torch.get_autocast_dtype("cpu"))  # once for both
        x_TBF = x_BTF.transpose(0, 1).contiguous()
        frames, batch = x_TBF.shape[:2]
        frames_T1, lengths_B = torch.arange(frames).unsqueeze(1), lengths_B.cpu()
        valid_TB = frames_T1 < lengths_B
        frames_TB = torch.where(valid_TB, lengths_B - 1 - frames_T1, frames_T1)
        reversed_N = (frames_TB * batch + torch.arange(batch)).flatten()
        turned_TBF = x_TBF.flatten(0, 1).index_select(0, reversed_N).view_as(x_TBF)
        # batch first, as Lstm wants them, but only as views
        y_forward, _ = self.forward_lstm(x_TBF.transpose(0, 1))
        y_backward, _ = self.backward_lstm(turned_TBF.transpose(0, 1))
        units = y_forward.size(2)
        y_TBH = y_forward.new_empty(frames, batch, 2 * units)
        y_TBH[..., :units] = y_forward.transpose(0, 1)
        rows_NH = y_backward.transpose(0, 1).flatten(0, 1)
        half_NH = y_TBH.flatten(0, 1)[:, units:]
        torch.index_select(rows_NH, 0, reversed_N, out=half_NH)
        return zero_after_(y_TBH.transpose(0, 1), lengths_B)
