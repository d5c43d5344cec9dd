"""Steps of a prediction network for the batched searches.

The state is the projected output and the network's own two tensors (h and c of an
LSTM), computed once when a label is emitted. Bits of a row do not depend on the other
rows, see LstmCell and RowProduct.
"""

# Dimensions: N rows, E rows that emit, R readout, H LSTM, V vocabulary with blank
import weakref
from typing import Tuple, Union

import torch

from espnet_ext.asr.joint.readout_step import ReadoutStep
from espnet_ext.asr.search.interface import advance_emitted
from espnet_ext.asr.search.lstm_cell import LstmCell

LabelState = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # (output, h, c)


class _Tables:
    """What a search needs of a decoder's weights, and which weights these were."""

    @torch.no_grad()
    def __init__(self, decoder, key):
        self.key = key
        labels_V = torch.arange(decoder.vocab_size, device=decoder.embedding.device)
        vectors_VE = decoder.embed(labels_V)
        if hasattr(decoder.lstm, "search_cell"):
            self.cell = decoder.lstm.search_cell(vectors_VE)
        else:
            self.cell = LstmCell.of(decoder.lstm, vectors_VE)
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

    def search_start(self, batch: int, bos: Union[str, int] = "run") -> LabelState:
        """State of ``batch`` rows, see SearchDecoder."""
        tables = self._tables(current=True)
        zeros_1H = self.embedding.new_zeros(1, self.lstm.hidden_size)
        output_1R = tables.joint.project(zeros_1H)
        state = output_1R, *(x[0] for x in self.init_state(1))
        if bos != "skip":
            # row 0 of the table, of blank, is BOS
            first = self.blank_id if bos == "run" else int(bos)
            label_1 = torch.tensor([first], device=zeros_1H.device)
            state = tables.step(label_1, state)
        return tuple(x.expand(batch, -1) for x in state)

    def search_scores(self, frames_BR: torch.Tensor, state: LabelState):
        """Log-probabilities [N, V] and the unchanged state, see SearchDecoder."""
        return self._tables().joint(frames_BR, state[0]), state

    def search_advance(self, state, rows_N, symbols_N) -> LabelState:
        """See SearchDecoder."""
        step = self._tables().step
        return advance_emitted(state, rows_N, symbols_N, self.blank_id, step)
