"""Prediction network without recurrence: a linear layer over the last labels.

Ref: Ghodsi et al. 2020, RNN-transducer with stateless prediction network.
"""

# Dimensions: B batch, N symbols or hypotheses, C context, E embedding, H output,
#             P = (C - 1) E, V vocabulary with blank
from typing import Dict, Optional, Tuple

import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.search.products import RowProduct
from espnet_ext.layers.init import init_linear_
from espnet_ext.layers.lstm import State


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

    def zero_state(self, batch_size: int) -> State:
        """Zeros, [1, B, (C - 1) E] and [1, B, 0]."""
        zeros = self.linear.weight.new_zeros
        past = zeros(1, batch_size, (self.context_size - 1) * self.input_size)
        return past, zeros(1, batch_size, 0)

    def forward(
        self, x_BNE: torch.Tensor, state: Optional[State] = None
    ) -> Tuple[torch.Tensor, State]:
        """Outputs [B, N, H] and the state after the last one."""
        if state is None:
            state = self.zero_state(x_BNE.size(0))
        past = state[0][0].to(x_BNE.dtype).unflatten(1, (-1, self.input_size))
        x_BPE = torch.cat([past, x_BNE], dim=1) if past.numel() else x_BNE
        windows_BNEC = x_BPE.unfold(1, self.context_size, 1)
        outputs = self.linear(windows_BNEC.transpose(2, 3).flatten(2)).tanh()
        kept = x_BPE[:, x_BPE.size(1) - self.context_size + 1 :].flatten(1)
        return outputs, (kept.unsqueeze(0), state[1])

    def search_cell(self, inputs_VE: torch.Tensor) -> "ContextCell":
        """A step of a search, see LstmSearchSteps."""
        return ContextCell(self, inputs_VE)


class ContextCell:
    """One step for many hypotheses, each with the same bits in any batch.

    Args:
        context: The layer; its weights are copied.
        inputs_VE: Vector of each label.
    """

    def __init__(self, context: LabelContext, inputs_VE: torch.Tensor):
        self.inputs_VE = inputs_VE.detach().clone()
        self.linear = RowProduct(context.linear.weight, context.linear.bias)

    def __call__(
        self, labels_N: torch.Tensor, past_NP: torch.Tensor, empty_N0: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output [N, H], and the vectors before the next label."""
        inputs_NE = self.inputs_VE.index_select(0, labels_N)
        window = torch.cat([past_NP, inputs_NE], dim=1)
        return self.linear(window).tanh(), window[:, inputs_NE.size(1) :], empty_N0


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
