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
from espnet_ext.asr.loss.node_gradient import EMISSIONS
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.evaluation import is_evaluated_on_cpu, product
from espnet_ext.layers.init import glorot_uniform_, init_linear_

READOUT_MATRICES = ("separate", "single")
BLANK_COLUMNS = ("matching", "misplaced")


def maxout(x: torch.Tensor) -> torch.Tensor:
    """Maximum of adjacent pairs of the last axis: [..., R] to [..., R / 2].

    ``amax`` would split the gradient of a tie; a tie of two floats does not happen
    unless both are exactly zero.
    """
    pairs = x.unflatten(-1, (-1, 2))
    return torch.maximum(pairs[..., 0], pairs[..., 1])


class MaxoutReadout(torch.nn.Module):
    """Joint network of the experiments ``start``, ``orig`` and ``conformer``.

    Args:
        vocab_size: V, with blank at index 0.
        encoder_size: D.
        prediction_size: Output size of the prediction network.
        readout_size: R, even; 1000 in the original.
        attention: Options of WindowAttention, or None for no attention (``decnoatt``).
        input_dropout: Rate on both inputs of the readout.
        label_dropout: Rate before the label softmax; the emission logit has none.
        dropout_mask: See FeatureDropout.
        readout_matrix: ``separate`` matrices for frames and prediction network, or a
            ``single`` one (``orig``): it is drawn, and grows with a BLSTM encoder, as
            one. It is stored as two all the same.
        emission: ``sigmoid`` (original), or one ``softmax`` over blank and labels.
        blank_column: ``matching``, or ``misplaced`` (``orig`` without
            ``fixsepblanklast``): the probability of blank and that of the last token
            change places, because blank was counted as the first and as the last one.
            Such a joint has no fused loss.
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
        readout_matrix: str = "separate",
        blank_column: str = "matching",
        emission: str = "sigmoid",
    ):
        super().__init__()
        for name, value, allowed in (
            ("readout_matrix", readout_matrix, READOUT_MATRICES),
            ("blank_column", blank_column, BLANK_COLUMNS),
            ("emission", emission, EMISSIONS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} {value!r}: expected one of {allowed}")
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
        self.readout_matrix = readout_matrix
        if readout_matrix == "single":
            inputs = frame_size + prediction_size
            for part in (self.readout_am, self.readout_lm):
                glorot_uniform_(part.weight, inputs, readout_size)
        self.blank_column = blank_column
        self.frame_size: Optional[int] = None  # see use_frame_size
        self.emission = emission
        outputs = vocab_size - (emission == "sigmoid")
        self.label_output = torch.nn.Linear(readout_size // 2, outputs)
        init_linear_(self.label_output)
        self.emission_output = None
        if emission == "sigmoid":
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

    def use_frame_size(self, size: Optional[int]) -> None:
        """While a BLSTM encoder grows as ``orig``'s: how many features of its frames
        are in use, in front of the others. None: all.

        The parts of the weights that are in use are then those that the original would
        have copied to the next stage: the readout's matrix as one block.
        """
        self.frame_size = size

    def readout_weights(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Matrices in use for frames and for the prediction network."""
        am, lm = self.readout_am.weight, self.readout_lm.weight
        if self.frame_size is None:
            return am, lm
        parts = self.frame_parts()["readout_am.weight"]
        width = parts * self.frame_size
        return torch.cat([am, lm], 1)[:, : width + lm.size(1)].split(
            (width, lm.size(1)), dim=1
        )

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """Masks of what is in use of the weights that ``use_frame_size`` cuts."""
        size = self.frame_size
        if size is None:
            return {}
        am, lm = self.readout_am.weight, self.readout_lm.weight
        width = self.frame_parts()["readout_am.weight"] * size + lm.size(1)
        columns = torch.arange(am.size(1) + lm.size(1)) < width
        used = columns.expand(am.size(0), -1)
        masks = {
            "readout_am.weight": used[:, : am.size(1)].clone(),
            "readout_lm.weight": used[:, am.size(1) :].clone(),
        }
        if self.attention is not None:
            for name, index in self.attention.used_columns(size).items():
                weight = getattr(self.attention, name).weight
                mask = torch.zeros(weight.shape, dtype=torch.bool)
                mask[:, index] = True
                masks[f"attention.{name}.weight"] = mask
        return masks

    def project_frames(
        self, frames_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Everything that depends on the encoder alone: [B, T, R], bias included."""
        frames_BTD = frames_BTD[..., : self.frame_size]
        weight, _ = self.readout_weights()
        if is_evaluated_on_cpu(frames_BTD) and not self.training:
            if self.attention is None:
                return product(frames_BTD, weight).add_(self.readout_bias)
            given = frames_BTD, lengths_B, weight, self.frame_size
            return self.attention.projected(*given).add_(self.readout_bias)
        if self.attention is not None:
            context = self.attention(frames_BTD, lengths_B, self.frame_size)
            frames_BTD = torch.cat([frames_BTD, context], dim=2)
        return F.linear(self.am_dropout(frames_BTD), weight) + self.readout_bias

    def project_prediction(self, prediction: torch.Tensor) -> torch.Tensor:
        """Prediction network output [..., H] to [..., R]."""
        _, weight = self.readout_weights()
        return F.linear(self.lm_dropout(prediction), weight)

    def logits(
        self, am: torch.Tensor, lm: torch.Tensor
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Label logits [..., V - 1] and emission logit [...] of projected inputs.

        With one softmax the logits [..., V] of all symbols, and None. The two inputs
        are broadcast: [B, T, 1, R] with [B, 1, S, R] gives the lattice.
        """
        readout = maxout(am + lm)
        label_logits = self.label_output(self.label_dropout(readout))
        if self.emission_output is None:
            return label_logits, None
        return label_logits, self.emission_output(readout).squeeze(-1)

    def fused(
        self, am_BTR: torch.Tensor, lm_BSR: torch.Tensor, options: GradientOptions
    ) -> FusedJointLoss:
        """The same lattice for ``full_sum_loss``, never stored; see FusedJointLoss."""
        dropout = self.label_dropout
        layers = [self.label_output]
        if self.emission_output is not None:
            layers.append(self.emission_output)
        return FusedJointLoss(
            am_BTR,
            lm_BSR,
            *(x for layer in layers for x in (layer.weight, layer.bias)),
            label_dropout=dropout.rate if self.training else 0.0,
            dropout_mask=dropout.mask,
            emission=self.emission,
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
        if emission is None:
            return label_logits.log_softmax(-1)
        labels = F.logsigmoid(emission).unsqueeze(-1) + label_logits.log_softmax(-1)
        blank = F.logsigmoid(-emission).unsqueeze(-1)
        if self.blank_column == "misplaced":
            return torch.cat([labels[..., -1:], labels[..., :-1], blank], dim=-1)
        return torch.cat([blank, labels], dim=-1)
