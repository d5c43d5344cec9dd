"""Extended transducer decoder of 2020: an LSTM over labels and an LSTM over frames.

    lm_u = LSTM([emb(y_u), att_(t_u)])              slow: once a label
    s_t  = LSTM([enc_t, emb'(a_(t-1)), lm_u])       fast: once a frame
    outputs from [s_t, att_t, lm_u], see ExtendedReadout

t_u is the frame that emitted label y_u, u the number of labels before frame t, a the
symbol of each frame with blanks; BOS comes with a zero attention vector, and a blank
stands before the first frame. The state depends on all symbols and frames, so there is
no full sum over alignments: the model ``framewise_transducer`` trains it on given ones,
and searches with recombination approximate.

Ref: Zeyer et al. 2020, A new training pipeline for an improved neural transducer.
Source: reference/models.md, "2020 extended transducer"; ablations: results.md.
"""

# Dimensions: B batch, T frames, D encoder, L labels, S = L + 1, H label LSTM,
#             M frame LSTM, N hypotheses, V vocabulary
from typing import Any, Dict, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from espnet2.asr.decoder.abs_decoder import AbsDecoder

from espnet_ext.asr.joint.extended_readout import ExtendedReadout, log_probabilities
from espnet_ext.asr.loss.frame_context import frame_context
from espnet_ext.asr.search.interface import State, select_rows, where_rows
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.init import glorot_uniform_
from espnet_ext.layers.lstm import Lstm
from espnet_ext.layers.switch_out import SwitchOut

BLANK = 0  # ESPnet wants blank first
FRAME_LSTM = {"size", "embedding_size", "dropout", "recurrent_dropout"}


class ExtendedTransducerDecoder(AbsDecoder):
    """Label LSTM, frame LSTM, attention over neighbouring frames, maxout readout.

    Args:
        vocab_size: V with blank at 0 and <sos/eos>, used as BOS, at V - 1.
        encoder_output_size: D; 256 behind ``postencoder: linear`` in the original.
        embedding_size: Of the labels, for the label LSTM.
        hidden_size: H.
        label_attention: The attention vector of the emitting frame enters the label
            LSTM (``lm4a``).
        frame_lstm: ``size`` M (128, ``n128``), ``embedding_size`` of the previous
            symbol (128; 0: no label feedback), ``dropout`` on its input and
            ``recurrent_dropout`` on its recurrent matrix (0.3 both).
        attention: Options of WindowAttention (``attwb5``: window_size 5); None for no
            attention.
        readout_size: Before maxout.
        label_dropout: Before the label softmax.
        dropout_mask: See FeatureDropout.
        emission: See ExtendedReadout.
        switchout: Options of SwitchOut, in training, on the symbols that both LSTMs
            see; None for none.
        topology: Of the alignments: ``rna``, or ``label_loop``, in which a repeated
            symbol is not a new label.
    """

    frame_dependent = True

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        embedding_size: int = 621,
        hidden_size: int = 1024,
        label_attention: bool = True,
        frame_lstm: Optional[Dict] = None,
        attention: Optional[Dict] = None,
        readout_size: int = 1000,
        label_dropout: float = 0.3,
        dropout_mask: str = "shared",
        emission: str = "frame_lstm",
        switchout: Optional[Dict] = None,
        topology: str = "rna",
    ):
        super().__init__()
        fast: Dict[str, Any] = {"size": 128, "embedding_size": 128}
        fast.update({"dropout": 0.3, "recurrent_dropout": 0.3, **(frame_lstm or {})})
        if set(fast) != FRAME_LSTM:
            raise ValueError(
                f"frame_lstm {frame_lstm}: expected {', '.join(sorted(FRAME_LSTM))}"
            )
        if topology not in ("rna", "label_loop"):
            raise ValueError(f"topology {topology!r}: expected rna or label_loop")
        self.vocab_size, self.blank_id = vocab_size, BLANK
        self.bos_id = vocab_size - 1
        self.topology = topology
        self.joint_network = ExtendedReadout(
            *(vocab_size, encoder_output_size, hidden_size, fast["size"]),
            *(readout_size, attention, label_dropout, dropout_mask, emission),
        )
        self.context_size = encoder_output_size if attention is not None else 0
        self.label_attention = label_attention
        inputs = embedding_size + (self.context_size if label_attention else 0)
        self.embedding = torch.nn.Parameter(torch.empty(vocab_size, embedding_size))
        glorot_uniform_(self.embedding, vocab_size - 1, embedding_size)
        self.lstm = Lstm(inputs, hidden_size)
        size = fast["embedding_size"]
        self.symbol_embedding = torch.nn.Parameter(torch.empty(vocab_size, size))
        glorot_uniform_(self.symbol_embedding, vocab_size, size)
        self.symbol_bias = torch.nn.Parameter(torch.zeros(size))
        inputs = encoder_output_size + size + hidden_size
        rate = fast["recurrent_dropout"]
        self.frame_lstm = Lstm(inputs, fast["size"], recurrent_dropout=rate)
        self.frame_dropout = FeatureDropout(fast["dropout"], dropout_mask)
        self.switchout = SwitchOut(**switchout) if switchout is not None else None

    def _label_input(self, labels: torch.Tensor, context: torch.Tensor):
        """Input [..., E (+ D)] of the label LSTM; blank stands for BOS."""
        labels = torch.where(labels == self.blank_id, self.bos_id, labels)
        vectors = F.embedding(labels, self.embedding)
        return torch.cat([vectors, context], -1) if self.label_attention else vectors

    def _frame_input(self, frames, previous, label_output):
        """Input of the frame LSTM."""
        symbol = F.embedding(previous, self.symbol_embedding) + self.symbol_bias
        return self.frame_dropout(torch.cat([frames, symbol, label_output], dim=-1))

    def alignment_logits(
        self,
        frames_BTD: torch.Tensor,
        lengths_B: torch.Tensor,
        alignment_BT: torch.Tensor,
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Logits of all frames in the context of an alignment.

        Args:
            frames_BTD: Encoder output.
            lengths_B: Valid frames.
            alignment_BT: Symbols, padded with -1.

        Returns:
            Label logits [B, T, V - 1] and emission logits [B, T]; or [B, T, V] and
            None, see ExtendedReadout.
        """
        symbols_BT = alignment_BT
        if self.training and self.switchout is not None:
            symbols_BT = self.switchout(symbols_BT, lengths_B, self.vocab_size)
        place = frame_context(symbols_BT, lengths_B, self.blank_id, self.topology)
        projected = self.joint_network.project_frames(frames_BTD, lengths_B)
        frames_BTD, context_BTC = self.joint_network.split(projected)
        # the frame of each label; one emitted by the last frame is in no context
        frame_BL = torch.zeros_like(place.labels_BL)
        rows, times = (place.position_BT.diff(dim=1) > 0).nonzero(as_tuple=True)
        frame_BL[rows, place.position_BT[rows, times]] = times
        index_BLC = frame_BL.unsqueeze(2).expand(-1, -1, context_BTC.size(2))
        context_BSC = F.pad(context_BTC.gather(1, index_BLC), (0, 0, 1, 0))
        labels_BS = F.pad(place.labels_BL.clamp(min=0), (1, 0), value=self.blank_id)
        label_BSH, _ = self.lstm(self._label_input(labels_BS, context_BSC))
        index_BTH = place.position_BT.unsqueeze(2).expand(-1, -1, label_BSH.size(2))
        label_BTH = label_BSH.gather(1, index_BTH)
        previous_BT = F.pad(symbols_BT.clamp(min=0), (1, -1), value=self.blank_id)
        inputs_BTI = self._frame_input(frames_BTD, previous_BT, label_BTH)
        state_BTM, _ = self.frame_lstm(inputs_BTI)
        return self.joint_network.logits(state_BTM, context_BTC, label_BTH)

    def forward(
        self,
        hs_pad: torch.Tensor,
        hlens: torch.Tensor,
        ys_in_pad: torch.Tensor,
        ys_in_lens: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities [B, T, V] and lengths [B] for frames and an alignment."""
        logits = self.alignment_logits(hs_pad, hlens, ys_in_pad)
        return log_probabilities(*logits), hlens

    # What searches need, see search/interface.py. The state of N rows: h and c of the
    # label LSTM, h and c of the frame LSTM, attention vector, previous symbol.

    def search_start(self, batch: int, bos: Union[str, int] = "run") -> State:
        """See SearchDecoder."""
        zeros_NH = self.embedding.new_zeros(batch, self.lstm.hidden_size)
        zeros_NM = self.embedding.new_zeros(batch, self.frame_lstm.hidden_size)
        context_NC = self.embedding.new_zeros(batch, self.context_size)
        blank_N = torch.full((batch,), self.blank_id, device=self.embedding.device)
        state = (zeros_NH, zeros_NH, zeros_NM, zeros_NM, context_NC, blank_N)
        if bos == "skip":
            return state
        label = self.bos_id if bos == "run" else int(bos)
        return self._after_labels(state, torch.full_like(blank_N, label))

    def _after_labels(self, state: State, labels_N: torch.Tensor) -> State:
        h_NH, c_NH, *fast, context_NC, previous_N = state
        inputs = self._label_input(labels_N, context_NC).unsqueeze(1)
        _, (h, c) = self.lstm(inputs, (h_NH.unsqueeze(0), c_NH.unsqueeze(0)))
        return (h[0], c[0], *fast, context_NC, previous_N)

    def search_scores(
        self, frames_BR: torch.Tensor, state: State
    ) -> Tuple[torch.Tensor, State]:
        """See SearchDecoder: one step of the frame LSTM."""
        h_NH, c_NH, fast_h, fast_c, _, previous_N = state
        rows = previous_N.size(0) // max(frames_BR.size(0), 1)
        frames_NR = frames_BR.repeat_interleave(rows, dim=0)
        frames_ND, context_NC = self.joint_network.split(frames_NR)
        inputs = self._frame_input(frames_ND, previous_N, h_NH).unsqueeze(1)
        fast = fast_h.unsqueeze(0), fast_c.unsqueeze(0)
        _, (fast_h, fast_c) = self.frame_lstm(inputs, fast)
        fast_h, fast_c = fast_h[0], fast_c[0]
        logits = self.joint_network.logits(fast_h, context_NC, h_NH)
        state = (h_NH, c_NH, fast_h, fast_c, context_NC, previous_N)
        return log_probabilities(*logits), state

    def search_advance(
        self, state: State, rows_N: torch.Tensor, symbols_N: torch.Tensor
    ) -> State:
        """See SearchDecoder: the label LSTM steps where a new label was emitted."""
        state = select_rows(state, rows_N)
        new_N = symbols_N != self.blank_id
        if self.topology == "label_loop":
            new_N = new_N & (symbols_N != state[-1])
        labels_N = torch.where(new_N, symbols_N, self.bos_id)
        stepped = where_rows(new_N, self._after_labels(state, labels_N), state)
        return (*stepped[:-1], symbols_N)
