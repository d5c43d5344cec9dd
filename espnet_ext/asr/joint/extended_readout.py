"""Readout over a frame-synchronous LSTM, attention and label-synchronous LSTM.

    r = maxout(W [s_t, att_t, lm_u] + b)
    log p(label k) = log sigmoid(e) + log_softmax(W_out r)_k,    e = w s_t

Source: reference/models.md, "2020 extended transducer".
"""

# Dimensions: B batch, T frames, D encoder, H label LSTM, M frame LSTM, R readout
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.joint.maxout_readout import maxout
from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.init import init_linear_

EMISSIONS = ("frame_lstm", "readout", "softmax")


class ExtendedReadout(torch.nn.Module):
    """Joint of ExtendedTransducerDecoder.

    Args:
        vocab_size: V with blank at index 0.
        encoder_size: D.
        label_size: H.
        frame_size: M.
        readout_size: R, even.
        attention: Options of WindowAttention; None for no attention.
        label_dropout: Before the label softmax.
        dropout_mask: See FeatureDropout.
        emission: What the emission logit is computed from: the ``frame_lstm``
            ("emit2") or the ``readout``; or one ``softmax`` over all symbols.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_size: int,
        label_size: int,
        frame_size: int,
        readout_size: int,
        attention: Optional[Dict],
        label_dropout: float,
        dropout_mask: str,
        emission: str,
    ):
        super().__init__()
        if emission not in EMISSIONS:
            raise ValueError(f"emission {emission!r}: expected one of {EMISSIONS}")
        if readout_size % 2:
            raise ValueError(f"readout_size {readout_size}: expected an even number")
        self.encoder_size, self.emission = encoder_size, emission
        self.attention = None
        inputs = frame_size + label_size
        if attention is not None:
            defaults = {"key_bias": False, "key_dropout": 0.0}
            options = {"dropout_mask": dropout_mask, **defaults, **attention}
            self.attention = WindowAttention(encoder_size, **options)
            inputs += encoder_size
        self.readout = init_linear_(torch.nn.Linear(inputs, readout_size))
        outputs = vocab_size - (emission != "softmax")
        self.label_output = init_linear_(torch.nn.Linear(readout_size // 2, outputs))
        self.label_dropout = FeatureDropout(label_dropout, dropout_mask)
        self.emission_output = None
        if emission != "softmax":
            size = frame_size if emission == "frame_lstm" else readout_size // 2
            self.emission_output = init_linear_(torch.nn.Linear(size, 1))

    def frame_parts(self) -> Dict[str, int]:
        """Not followed by a growing width: see ``use_frame_size``."""
        return {}

    def use_frame_size(self, size: Optional[int]) -> None:
        """The encoder must not grow in width without a layer of its own in between.

        Raises:
            ValueError: It does.
        """
        if size is not None:
            raise ValueError(
                "the encoder grows in width in front of an extended decoder: expected "
                "postencoder: linear between them"
            )

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """Nothing is cut."""
        return {}

    def project_frames(
        self, frames_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Frames and, behind them, attention vectors: [B, T, 2 D], or [B, T, D]."""
        if self.attention is None:
            return frames_BTD
        return torch.cat([frames_BTD, self.attention(frames_BTD, lengths_B)], dim=-1)

    def split(self, projected: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Frames [..., D] and attention vectors [..., D or 0] of ``project_frames``."""
        return projected[..., : self.encoder_size], projected[..., self.encoder_size :]

    def logits(
        self, frame: torch.Tensor, context: torch.Tensor, label: torch.Tensor
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Label logits [..., V - 1] and emission logit [...]; or [..., V] and None."""
        readout = maxout(self.readout(torch.cat([frame, context, label], dim=-1)))
        labels = self.label_output(self.label_dropout(readout))
        if self.emission_output is None:
            return labels, None
        source = frame if self.emission == "frame_lstm" else readout
        return labels, self.emission_output(source).squeeze(-1)


def log_probabilities(
    label_logits: torch.Tensor, emission: Optional[torch.Tensor]
) -> torch.Tensor:
    """Log-probabilities [..., V], blank first, of what ``logits`` returns."""
    labels = label_logits.log_softmax(-1)
    if emission is None:
        return labels
    labels = F.logsigmoid(emission).unsqueeze(-1) + labels
    return torch.cat([F.logsigmoid(-emission).unsqueeze(-1), labels], dim=-1)
