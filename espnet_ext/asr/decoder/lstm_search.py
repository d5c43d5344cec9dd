"""Steps of the LSTM prediction network for the batched searches.

What depends on a label alone, its embedding times the input weights of the LSTM, is a
table. The state is the projected output and the LSTM's (h, c); it is computed once when
a label is emitted. Bits of a row do not depend on the other rows: products are
RowProducts, and the only transcendental function is tanh, with sigmoid(x) =
(1 + tanh(x / 2)) / 2, because torch's sigmoid differs in the last bit at the end of an
array.
"""

# Dimensions: N rows, E rows that emit, R readout, H LSTM, V vocabulary with blank
import weakref
from typing import Tuple

import torch

from espnet_ext.asr.joint.readout_step import ReadoutStep
from espnet_ext.asr.search.interface import BOS_MODES, advance_emitted
from espnet_ext.asr.search.products import RowProduct
from espnet_ext.layers.zoneout_lstm import FORGET_BIAS, ZoneoutLstm

LabelState = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # (output, h, c)


class LstmCell:
    """One step of an Lstm or ZoneoutLstm in evaluation, inputs from a table.

    Args:
        lstm: The layer.
        inputs_VF: What it is fed for each label.
    """

    def __init__(self, lstm, inputs_VF: torch.Tensor):
        self.zoneout = None
        gates_V4H = torch.nn.functional.linear(inputs_VF, lstm.weight_ih, lstm.bias)
        size = lstm.hidden_size
        # halved where a sigmoid follows: exact, and one tanh serves all four gates
        halves = gates_V4H.new_full((4 * size,), 0.5)
        halves[2 * size : 3 * size] = 1.0
        if isinstance(lstm, ZoneoutLstm):
            gates_V4H[:, size : 2 * size] += FORGET_BIAS
            self.zoneout = lstm.cell, lstm.output, lstm.step_output == "plain"
        self.table_V4H = gates_V4H * halves
        self.recurrent = RowProduct(lstm.weight_hh * halves.unsqueeze(1))

    def __call__(self, labels_E, h_EH, c_EH) -> LabelState:
        """Output, h and c, each [E, H], after a label."""
        gates = self.table_V4H.index_select(0, labels_E)
        gates = (gates + self.recurrent(h_EH)).tanh_()
        i, f, g, o = gates.chunk(4, dim=1)
        new_c = (f * 0.5 + 0.5) * c_EH + (i * 0.5 + 0.5) * g
        new_h = (o * 0.5 + 0.5) * new_c.tanh()
        if self.zoneout is None:
            return new_h, new_h, new_c
        cell, output, plain = self.zoneout
        zoned_h = new_h + (h_EH - new_h) * output
        zoned_c = new_c + (c_EH - new_c) * cell
        return new_h if plain else zoned_h, zoned_h, zoned_c


class _Tables:
    """Everything a search needs of a decoder's weights, and which weights these were."""

    @torch.no_grad()
    def __init__(self, decoder, key):
        self.key = key
        labels_V = torch.arange(decoder.vocab_size, device=decoder.embedding.device)
        self.cell = LstmCell(decoder.lstm, decoder.embed(labels_V))
        self.joint = ReadoutStep(decoder.joint_network)

    def step(self, labels_E: torch.Tensor, state: LabelState) -> LabelState:
        output_EH, h_EH, c_EH = self.cell(labels_E, *state[1:])
        return self.joint.project(output_EH), h_EH, c_EH


# not in the decoder, which can then be copied and pickled
_TABLES: "weakref.WeakKeyDictionary" = weakref.WeakKeyDictionary()


class LstmSearchSteps:
    """SearchDecoder (see search/interface.py) for LstmTransducerDecoder."""

    frame_dependent = False

    def _tables(self, current: bool = False) -> _Tables:
        """The tables; with ``current`` made anew when a weight has changed."""
        tables = _TABLES.get(self)
        if current or tables is None:
            weights = ((p.data_ptr(), p._version) for p in self.parameters())
            key = (torch.get_num_threads(), *weights)
            if tables is None or tables.key != key:
                tables = _TABLES[self] = _Tables(self, key)
        return tables

    def search_start(self, batch: int, bos: str = "run") -> LabelState:
        """State of ``batch`` rows, see SearchDecoder."""
        if bos not in BOS_MODES:
            raise ValueError(f"bos {bos!r}: expected one of {BOS_MODES}")
        tables = self._tables(current=True)
        zeros_1H = self.embedding.new_zeros(1, self.lstm.hidden_size)
        output_1R = tables.joint.project(zeros_1H)
        state = output_1R, zeros_1H, zeros_1H
        if bos == "run":
            # row 0 of the table is BOS: ESPnet begins with blank
            blank_1 = torch.zeros(1, dtype=torch.long, device=zeros_1H.device)
            state = tables.step(blank_1, state)
        return tuple(x.expand(batch, -1) for x in state)

    def search_scores(self, frames_BR: torch.Tensor, state: LabelState):
        """Log-probabilities [N, V] and the unchanged state, see SearchDecoder."""
        return self._tables().joint(frames_BR, state[0]), state

    def search_advance(self, state, rows_N, symbols_N) -> LabelState:
        """See SearchDecoder."""
        step = self._tables().step
        return advance_emitted(state, rows_N, symbols_N, self.blank_id, step)
