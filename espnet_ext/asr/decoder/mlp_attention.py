"""LSTM decoder with additive attention and weight feedback (``att_*``).

    s_u      = LSTM([emb(y_{u-1}), att_{u-1}])
    energy   = v tanh(W_e enc_t + b + W_f accum_t + W_s s_u)
    weights  = softmax over t;   accum += weights * fertility_t / 2
    att_u    = sum_t weights_t enc_t
    logits   = W_o dropout(maxout(W_r [s_u, emb(y_{u-1}), att_u] + b_r)) + b_o

``fertility`` is a linear function of the frame, without the sigmoid that other
attention models of the group have.

Ref: Zeyer et al. 2018, Improved training of end-to-end attention models for speech
recognition. Source: reference/models.md (g).
"""

# Dimensions: B batch, T frames, D encoder, U label positions, E embedding, H LSTM,
#             A attention, K = V - 1 labels, V vocabulary with blank
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from espnet2.asr.decoder.abs_decoder import AbsDecoder

from espnet_ext.asr.joint.maxout_readout import maxout
from espnet_ext.layers.dropout import FeatureDropout, switch_out
from espnet_ext.layers.init import glorot_uniform_, init_linear_
from espnet_ext.layers.lstm import Lstm, State
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm

FERTILITIES = ("linear", "sigmoid")


class DecoderState(NamedTuple):
    """What a step needs of the steps before it."""

    lstm: State
    context_BD: torch.Tensor
    accumulated_BT: torch.Tensor


class EncodedFrames(NamedTuple):
    """What is computed once an utterance."""

    values_BTD: torch.Tensor
    keys_BTA: torch.Tensor
    fertility_BT: torch.Tensor
    padded_BT: torch.Tensor


def _rows_first(state: DecoderState) -> Tuple[torch.Tensor, ...]:
    return state.lstm[0][0], state.lstm[1][0], state.context_BD, state.accumulated_BT


class MlpAttentionDecoder(AbsDecoder):
    """Decoder over the labels without blank; <sos/eos> begins and ends.

    Args:
        vocab_size: V with blank at 0 and <sos/eos> at V - 1.
        encoder_output_size: D.
        embedding_size: E.
        hidden_size: H.
        key_size: A.
        readout_size: Before maxout, even.
        label_dropout: Before the output layer.
        dropout_mask: See FeatureDropout.
        weight_feedback: Share of the fertility that enters the accumulated weights.
        inverse_fertility: ``linear`` (original), or through a ``sigmoid``.
        zoneout: Options of ZoneoutLstm; None for a plain LSTM.
        recurrent_weight_dropout: On the recurrent matrix, one mask for all labels of a
            batch.
        label_switchout: In training, each input label, the first one included, is
            replaced by a random one with this probability.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        embedding_size: int = 621,
        hidden_size: int = 1000,
        key_size: int = 1024,
        readout_size: int = 1000,
        label_dropout: float = 0.3,
        dropout_mask: str = "shared",
        weight_feedback: float = 0.5,
        inverse_fertility: str = "linear",
        zoneout: Optional[Dict] = None,
        recurrent_weight_dropout: float = 0.0,
        label_switchout: float = 0.0,
    ):
        super().__init__()
        if readout_size % 2:
            raise ValueError(f"readout_size {readout_size}: expected an even number")
        if inverse_fertility not in FERTILITIES:
            raise ValueError(
                f"inverse_fertility {inverse_fertility!r}: "
                f"expected one of {FERTILITIES}"
            )
        self.weight_feedback = weight_feedback
        self.inverse_fertility = inverse_fertility
        self.sos = vocab_size - 1
        self.encoder_size = encoder_output_size
        self.embedding = torch.nn.Parameter(torch.empty(vocab_size, embedding_size))
        glorot_uniform_(self.embedding, vocab_size - 1, embedding_size)
        inputs = embedding_size + encoder_output_size
        self.label_switchout = label_switchout
        dropout = {"recurrent_dropout": recurrent_weight_dropout}
        if zoneout is None:
            self.lstm = Lstm(inputs, hidden_size, **dropout)
        else:
            self.lstm = ZoneoutLstm(inputs, hidden_size, **{**dropout, **zoneout})

        def linear(in_size: int, out_size: int, bias: bool = False):
            return init_linear_(torch.nn.Linear(in_size, out_size, bias=bias))

        self.key = linear(encoder_output_size, key_size, True)
        self.fertility = linear(encoder_output_size, 1, True)
        self.feedback = linear(1, key_size)
        self.query = linear(hidden_size, key_size)
        self.energy = linear(key_size, 1)
        self.readout = linear(hidden_size + inputs, readout_size, True)
        self.output = linear(readout_size // 2, max(vocab_size - 1, 1), True)
        self.label_dropout = FeatureDropout(label_dropout, dropout_mask)

    def encode(
        self, values_BTD: torch.Tensor, lengths_B: torch.Tensor
    ) -> EncodedFrames:
        """Keys and fertilities of all frames."""
        frames_T = torch.arange(values_BTD.size(1), device=values_BTD.device)
        padded_BT = frames_T >= lengths_B.to(values_BTD.device).unsqueeze(1)
        fertility_BT = self.fertility(values_BTD).squeeze(2)
        if self.inverse_fertility == "sigmoid":
            fertility_BT = fertility_BT.sigmoid()
        return EncodedFrames(
            values_BTD,
            self.key(values_BTD),
            fertility_BT,
            padded_BT,
        )

    def start(self, frames: EncodedFrames) -> DecoderState:
        """State before the first label: zeros."""
        batch = frames.values_BTD.size(0)
        return DecoderState(
            self.lstm.zero_state(batch),
            frames.values_BTD.new_zeros(batch, self.encoder_size),
            torch.zeros_like(frames.fertility_BT),
        )

    def step(
        self,
        labels_B: torch.Tensor,
        state: DecoderState,
        frames: EncodedFrames,
        recurrent_weight: Optional[torch.Tensor] = None,
    ) -> Tuple[torch.Tensor, DecoderState]:
        """Readout before maxout [B, R] after one more label, and the next state."""
        embedded_BE = torch.nn.functional.embedding(labels_B, self.embedding)
        inputs = torch.cat([embedded_BE, state.context_BD], dim=1).unsqueeze(1)
        hidden_B1H, lstm = self.lstm(inputs, state.lstm, recurrent_weight)
        feedback_BTA = self.feedback(state.accumulated_BT.unsqueeze(2))
        scored_BTA = frames.keys_BTA + feedback_BTA + self.query(hidden_B1H)
        energies_BT = self.energy(scored_BTA.tanh()).squeeze(2)
        weights_BT = energies_BT.masked_fill(frames.padded_BT, float("-inf")).softmax(1)
        added_BT = self.weight_feedback * weights_BT * frames.fertility_BT
        accumulated_BT = state.accumulated_BT + added_BT
        context_BD = (weights_BT.unsqueeze(1) @ frames.values_BTD).squeeze(1)
        readout = self.readout(
            torch.cat([hidden_B1H[:, 0], embedded_BE, context_BD], dim=1)
        )
        return readout, DecoderState(lstm, context_BD, accumulated_BT)

    def label_logits(
        self, frames_BTD: torch.Tensor, lengths_B: torch.Tensor, inputs_BU: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B, U, K] over labels after each of the inputs (sos first)."""
        frames = self.encode(frames_BTD, lengths_B)
        state = self.start(frames)
        weight = self.lstm.recurrent_weight()
        readouts: List[torch.Tensor] = []
        for labels_B in self._switch_out(inputs_BU).unbind(1):
            readout, state = self.step(labels_B, state, frames, weight)
            readouts.append(readout)
        return self.output(self.label_dropout(maxout(torch.stack(readouts, dim=1))))

    def _switch_out(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels, in training some of them replaced by random ones."""
        if not self.training:
            return labels
        return switch_out(labels, self.label_switchout, self.embedding.size(0))

    # the batched search, see AttentionSearch

    def search_frames(
        self, frames_BTD: torch.Tensor, lengths_B: torch.Tensor, beam: int
    ) -> EncodedFrames:
        """``encode`` for N = B K rows; K adjacent rows share the frames."""
        parts = self.encode(frames_BTD, lengths_B)
        return EncodedFrames(*(x.repeat_interleave(beam, dim=0) for x in parts))

    def search_start(self, frames: EncodedFrames) -> Tuple[torch.Tensor, ...]:
        """State before the first label: tensors whose first axis is N."""
        return _rows_first(self.start(frames))

    def search_step(
        self, frames: EncodedFrames, labels_N: torch.Tensor, state
    ) -> Tuple[torch.Tensor, Tuple[torch.Tensor, ...]]:
        """Log-probabilities [N, V] after one more label (sos first), and the state."""
        h, c, context, accumulated = state
        lstm = h.unsqueeze(0), c.unsqueeze(0)
        before = DecoderState(lstm, context, accumulated)
        readout, after = self.step(labels_N, before, frames)
        logits_NK = self.output(self.label_dropout(maxout(readout)))
        return self._with_blank(logits_NK.log_softmax(1)), _rows_first(after)

    # ESPnet's interfaces

    def forward(
        self,
        hs_pad: torch.Tensor,
        hlens: torch.Tensor,
        ys_in_pad: torch.Tensor,
        ys_in_lens: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities [B, U, V], blank impossible, and the lengths [B]."""
        logits_BUK = self.label_logits(hs_pad, hlens, ys_in_pad.clamp(min=0))
        return self._with_blank(logits_BUK.log_softmax(2)), ys_in_lens

    @staticmethod
    def _with_blank(log_probs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(log_probs, (1, 0), value=float("-inf"))

    def init_state(self, x: torch.Tensor) -> Any:
        """State before the first label of a search over frames x [T, D]."""
        frames = self.encode(x.unsqueeze(0), torch.tensor([x.size(0)]))
        return self.start(frames), frames

    def score(
        self, ys: torch.Tensor, state: Any, x: torch.Tensor
    ) -> Tuple[torch.Tensor, Any]:
        """Log-probabilities [V] of the label after the prefix ys, and the state."""
        decoder_state, frames = state
        readout, decoder_state = self.step(ys[-1:], decoder_state, frames)
        logits_1K = self.output(self.label_dropout(maxout(readout)))
        return self._with_blank(logits_1K.log_softmax(1))[0], (decoder_state, frames)
