"""Readout with maxout, and separate outputs for labels and for emission.

    r = maxout(W_am [enc_t, att_t] + W_lm lm_u + b)
    log p(blank)   = log sigmoid(-e),               e = w r
    log p(label k) = log sigmoid(e) + log_softmax(W_out r)_k

Source: reference/models.md (a), (b), (e) and losses.md 5.
"""

# Dimensions: B batch, T frames, S label positions, D encoder, R readout before maxout,
#             J = R / 2 readout after maxout, V vocabulary with blank (index 0)
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.asr.loss import FusedJointLoss, GradientOptions
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.init import init_linear_


def maxout(x: torch.Tensor) -> torch.Tensor:
    """Maximum of adjacent pairs of the last axis: [..., R] to [..., R / 2].

    ``amax`` would split the gradient of a tie; a tie of two floats does not happen
    unless both are exactly zero.
    """
    pairs = x.unflatten(-1, (-1, 2))
    return torch.maximum(pairs[..., 0], pairs[..., 1])


class MaxoutReadout(torch.nn.Module):
    """Joint network of the experiments ``start`` and ``conformer``.

    Args:
        vocab_size: V, with blank at index 0.
        encoder_size: D.
        prediction_size: Output size of the prediction network.
        readout_size: R, even; 1000 in the original.
        attention: Options of WindowAttention, or None for no attention (``decnoatt``).
        input_dropout: Rate on both inputs of the readout.
        label_dropout: Rate before the label softmax; the emission logit has none.
        dropout_mask: See FeatureDropout.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_size: int,
        prediction_size: int,
        readout_size: int = 1000,
        attention: Optional[Dict] = None,
        input_dropout: float = 0.1,
        label_dropout: float = 0.3,
        dropout_mask: str = "shared",
    ):
        super().__init__()
        if readout_size % 2:
            raise ValueError(f"readout_size {readout_size}: expected an even number")
        self.attention = None
        frame_size = encoder_size
        if attention is not None:
            attention = {"dropout_mask": dropout_mask, **attention}
            self.attention = WindowAttention(encoder_size, **attention)
            frame_size = 2 * encoder_size
        self.readout_am = init_linear_(
            torch.nn.Linear(frame_size, readout_size, bias=False)
        )
        self.readout_lm = init_linear_(
            torch.nn.Linear(prediction_size, readout_size, bias=False)
        )
        self.readout_bias = torch.nn.Parameter(torch.zeros(readout_size))
        self.label_output = torch.nn.Linear(readout_size // 2, vocab_size - 1)
        init_linear_(self.label_output)
        self.emission_output = init_linear_(torch.nn.Linear(readout_size // 2, 1))
        self.am_dropout = FeatureDropout(input_dropout, dropout_mask)
        self.lm_dropout = FeatureDropout(input_dropout, dropout_mask)
        self.label_dropout = FeatureDropout(label_dropout, dropout_mask)

    def frame_parts(self) -> Dict[str, int]:
        """Weights whose input is made of encoder frames: name to number of frames."""
        parts = {"readout_am.weight": 1}
        if self.attention is not None:
            parts["readout_am.weight"] = 2
            parts["attention.key.weight"] = parts["attention.query.weight"] = 1
        return parts

    def project_frames(
        self, frames_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Everything that depends on the encoder alone: [B, T, R], bias included."""
        if self.attention is not None:
            context = self.attention(frames_BTD, lengths_B)
            frames_BTD = torch.cat([frames_BTD, context], dim=2)
        return self.readout_am(self.am_dropout(frames_BTD)) + self.readout_bias

    def project_prediction(self, prediction: torch.Tensor) -> torch.Tensor:
        """Prediction network output [..., H] to [..., R]."""
        return self.readout_lm(self.lm_dropout(prediction))

    def logits(
        self, am: torch.Tensor, lm: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Label logits [..., V - 1] and emission logit [...] of projected inputs.

        The two inputs are broadcast: [B, T, 1, R] with [B, 1, S, R] gives the lattice.
        """
        readout = maxout(am + lm)
        label_logits = self.label_output(self.label_dropout(readout))
        return label_logits, self.emission_output(readout).squeeze(-1)

    def fused(
        self, am_BTR: torch.Tensor, lm_BSR: torch.Tensor, options: GradientOptions
    ) -> FusedJointLoss:
        """The same lattice for ``full_sum_loss``, never stored; see FusedJointLoss."""
        dropout = self.label_dropout
        layers = self.label_output, self.emission_output
        return FusedJointLoss(
            am_BTR,
            lm_BSR,
            *(x for layer in layers for x in (layer.weight, layer.bias)),
            label_dropout=dropout.rate if self.training else 0.0,
            dropout_mask=dropout.mask,
            options=options,
        )

    def forward(
        self, am: torch.Tensor, lm: torch.Tensor, *unused, **unused_too
    ) -> torch.Tensor:
        """Log-probabilities [..., V], blank first; they sum to one.

        Called by ESPnet's own transducer searches, which apply log_softmax once more;
        that changes nothing on normalised log-probabilities.
        """
        label_logits, emission = self.logits(am, lm)
        labels = F.logsigmoid(emission).unsqueeze(-1) + label_logits.log_softmax(-1)
        return torch.cat([F.logsigmoid(-emission).unsqueeze(-1), labels], dim=-1)
