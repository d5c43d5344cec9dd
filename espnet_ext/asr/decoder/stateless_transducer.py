"""Prediction network without recurrence: a linear layer over the last labels.

Ref: Ghodsi et al. 2020, RNN-transducer with stateless prediction network.
"""

# Dimensions: B batch, N symbols, C context, E embedding, H output
from typing import Dict, Optional, Tuple, Union

import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.search.interface import State, advance_emitted
from espnet_ext.layers.init import init_linear_
from espnet_ext.layers.lstm import State as LabelState


class LabelContext(torch.nn.Module):
    """Linear layer and tanh on the last C vectors, with the interface of Lstm.

    The state is the C - 1 vectors before the next one, zero before the first, and a
    second tensor that is empty, so that what handles states of an LSTM handles these.
    """

    def __init__(self, input_size: int, hidden_size: int, context_size: int):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.context_size = context_size
        self.linear = init_linear_(
            torch.nn.Linear(context_size * input_size, hidden_size)
        )

    def zero_state(self, batch_size: int) -> LabelState:
        """Zeros, [1, B, (C - 1) E] and [1, B, 0]."""
        zeros = self.linear.weight.new_zeros
        past = zeros(1, batch_size, (self.context_size - 1) * self.input_size)
        return past, zeros(1, batch_size, 0)

    def forward(
        self, x_BNE: torch.Tensor, state: Optional[LabelState] = None
    ) -> Tuple[torch.Tensor, LabelState]:
        """Outputs [B, N, H] and the state after the last one."""
        if state is None:
            state = self.zero_state(x_BNE.size(0))
        past = state[0][0].to(x_BNE.dtype).unflatten(1, (-1, self.input_size))
        x_BPE = torch.cat([past, x_BNE], dim=1) if past.numel() else x_BNE
        windows_BNEC = x_BPE.unfold(1, self.context_size, 1)
        outputs = self.linear(windows_BNEC.transpose(2, 3).flatten(2)).tanh()
        kept = x_BPE[:, x_BPE.size(1) - self.context_size + 1 :].flatten(1)
        return outputs, (kept.unsqueeze(0), state[1])


class StatelessTransducerDecoder(LstmTransducerDecoder):
    """LstmTransducerDecoder with LabelContext in the place of the LSTM.

    Args:
        vocab_size: V with blank at 0 and <sos/eos>, used as BOS, at V - 1.
        encoder_output_size: D.
        context_size: Labels that are looked at.
        embedding_size, hidden_size, embedding_dropout, dropout_mask, label_switchout,
        bos_vector, joint: As there.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        context_size: int = 2,
        embedding_size: int = 256,
        hidden_size: int = 512,
        embedding_dropout: float = 0.2,
        dropout_mask: str = "shared",
        label_switchout: float = 0.0,
        bos_vector: str = "label",
        joint: Optional[Dict] = None,
    ):
        if context_size < 1:
            raise ValueError(f"context_size {context_size}: expected at least 1")
        super().__init__(
            vocab_size,
            encoder_output_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            embedding_dropout=embedding_dropout,
            dropout_mask=dropout_mask,
            label_switchout=label_switchout,
            bos_vector=bos_vector,
            joint=joint,
        )
        self.lstm = LabelContext(embedding_size, hidden_size, context_size)

    @property
    def label_context(self) -> int:
        """How many labels a search may tell hypotheses apart by."""
        return self.lstm.context_size

    def _step(self, labels_E: torch.Tensor, state: State) -> State:
        past = state[1].unsqueeze(0), state[2].unsqueeze(0)
        output_E1R, past = self.run(labels_E.unsqueeze(1), past)
        return output_E1R[:, 0], past[0][0], past[1][0]

    def search_start(self, batch: int, bos: Union[str, int] = "run") -> State:
        """See SearchDecoder."""
        past, empty = self.init_state(batch)
        zeros = self.embedding.new_zeros(batch, self.lstm.hidden_size)
        state = self.joint_network.project_prediction(zeros), past[0], empty[0]
        if bos == "skip":
            return state
        label = self.blank_id if bos == "run" else int(bos)
        labels_N = torch.full((batch,), label, device=self.embedding.device)
        return self._step(labels_N, state)

    def search_scores(self, frames_BR: torch.Tensor, state: State):
        """See SearchDecoder."""
        rows = state[0].size(0) // max(frames_BR.size(0), 1)
        am_NR = frames_BR.repeat_interleave(rows, dim=0)
        return self.joint_network(am_NR, state[0]), state

    def search_advance(self, state, rows_N, symbols_N) -> State:
        """See SearchDecoder."""
        return advance_emitted(state, rows_N, symbols_N, self.blank_id, self._step)
