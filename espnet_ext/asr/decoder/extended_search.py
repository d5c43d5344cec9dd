"""Steps of the extended decoder for the batched searches.

The state has, of each row: the last symbol and whether the slow LSTM has yet to be run
on it; output and cell of the slow LSTM and of the fast one. Both run when the scores of
a frame are asked for. As with the plain decoder, bits of a row do not depend on the
other rows (LstmCell, RowProduct).
"""

# Dimensions: B batch, K rows of a sequence, N = B K rows, E bottleneck, A attention,
#             H slow LSTM, S fast LSTM, V vocabulary with blank
import weakref
from typing import Tuple, Union

import torch
import torch.nn.functional as F

from espnet_ext.asr.search.interface import State, select_rows, where_rows
from espnet_ext.asr.search.lstm_cell import LstmCell
from espnet_ext.asr.search.products import RowProduct


class _Tables:
    """Copies of a decoder's weights as a search needs them, and which these were."""

    @torch.no_grad()
    def __init__(self, decoder, key):
        self.key = key
        self.slow, self.fast = (
            LstmCell(lstm.weight_ih, lstm.weight_hh, lstm.bias)
            for lstm in (decoder.slow, decoder.fast)
        )
        self.embedding = decoder.embedding.detach().clone()
        self.symbols = None
        if decoder.symbol_embedding is not None:
            self.symbols = decoder.symbol_embedding + decoder.symbol_bias
        layers = decoder.readout, decoder.label_output, decoder.emission_output
        self.readout, self.label, self.emission = (
            RowProduct(layer.weight, layer.bias) for layer in layers
        )


# not in the decoder, which can then be copied and pickled
_TABLES: "weakref.WeakKeyDictionary" = weakref.WeakKeyDictionary()


class ExtendedSearchSteps:
    """SearchDecoder (see search/interface.py) for ExtendedTransducerDecoder."""

    def _tables(self, current: bool = False) -> _Tables:
        tables = _TABLES.get(self)
        if current or tables is None:
            weights = ((p.data_ptr(), p._version) for p in self.parameters())
            key = (torch.get_num_threads(), *weights)
            if tables is None or tables.key != key:
                tables = _TABLES[self] = _Tables(self, key)
        return tables

    def search_start(self, batch: int, bos: Union[str, int] = "run") -> State:
        """State of ``batch`` rows, see SearchDecoder.

        With ``skip`` the slow LSTM is not run before the first label; the fast one has
        BOS for its last symbol in any case.
        """
        self._tables(current=True)
        zeros_NH = self.slow.bias.new_zeros(batch, self.slow.hidden_size)
        zeros_NS = self.fast.bias.new_zeros(batch, self.fast.hidden_size)
        first = self.bos_id if bos in ("run", "skip") else int(bos)
        last_N = torch.full((batch,), first, device=zeros_NH.device)
        pending_N = torch.full_like(last_N, bos != "skip", dtype=torch.bool)
        return last_N, pending_N, zeros_NH, zeros_NH, zeros_NS, zeros_NS

    @torch.no_grad()
    def search_scores(
        self, frames_BR: torch.Tensor, state: State
    ) -> Tuple[torch.Tensor, State]:
        """Log-probabilities [N, V], blank first, and the state in this frame."""
        tables = self._tables()
        last_N, pending_N, *slow, fast_h, fast_c = state
        repeats = last_N.size(0) // max(frames_BR.size(0), 1)
        frames_NR = frames_BR.repeat_interleave(repeats, dim=0)
        frames_NE = frames_NR[:, : self.frame_size]
        attended_NA = frames_NR[:, self.frame_size :]
        inputs = tables.embedding.index_select(0, last_N)
        if self.slow_attention:
            inputs = torch.cat([inputs, attended_NA], dim=1)
        _, *stepped = tables.slow(inputs, *slow)
        slow_h, slow_c = where_rows(pending_N, tuple(stepped), tuple(slow))
        parts = [frames_NE]
        if tables.symbols is not None:
            parts.append(tables.symbols.index_select(0, last_N))
        inputs = torch.cat([*parts, slow_h], dim=1)
        output_NS, fast_h, fast_c = tables.fast(inputs, fast_h, fast_c)
        pairs = tables.readout(torch.cat([output_NS, attended_NA, slow_h], dim=1))
        pairs = pairs.unflatten(1, (-1, 2))
        readout = torch.maximum(pairs[..., 0], pairs[..., 1])
        source = output_NS if self.emission == "fast" else readout
        emission_N1 = tables.emission(source)
        labels_NK = F.logsigmoid(emission_N1) + tables.label(readout).log_softmax(1)
        scores_NV = torch.cat([F.logsigmoid(-emission_N1), labels_NK], dim=1)
        done_N = torch.zeros_like(pending_N)
        return scores_NV, (last_N, done_N, slow_h, slow_c, fast_h, fast_c)

    def search_advance(
        self, state: State, rows_N: torch.Tensor, symbols_N: torch.Tensor
    ) -> State:
        """See SearchDecoder; what a symbol does is computed in the next frame."""
        _, _, *cells = select_rows(state, rows_N)
        return (symbols_N, symbols_N != self.blank_id, *cells)
