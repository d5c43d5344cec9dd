"""CTC losses on the outputs of encoder layers, in the four forms of the experiments.

Each head is a linear layer on the output of one encoder layer, with log-softmax and
CTC behind it. The costs of all heads and sequences are added to the main loss.

| experiment | top_layer | blank      | outputs | meaning                             |
|------------|-----------|------------|---------|-------------------------------------|
| auxL       | false     | last_label | V - 1   | no cost on the highest layer; the   |
|            |           |            |         | last real label is taken for blank  |
| auxLf      | true      | last_label | V - 1   | the highest layer has its cost too  |
| auxLff     | true      | separate   | V       | blank has an output of its own      |
|            | false     | separate   | V       | (never run)                         |

``last_label`` is a bug of the original: 1030 outputs for its 1030 labels 0..1029, and
the last one, label 1029, served as blank. Its label 0 is the begin-of-sentence symbol,
which is the last id here, as blank takes id 0. So the original's label 1029 is id
V - 2 here, the last one before <sos/eos>, and output k belongs to id k + 1. Where the
text has that label, its arc emits what blank emits, as in the original.

Source: reference/losses.md 4 and parts.md 2.4; Graves et al. 2006, section 4.1.
"""

# Dimensions: B batch, T frames, L labels, D encoder, V vocabulary with blank (id 0),
#             C outputs of a head
from typing import Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.factorised import softmax_loss
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.errors import OptionError
from espnet_ext.layers.init import init_linear_
from espnet_ext.names import nearest

BLANKS = ("separate", "last_label")
INFEASIBLE = ("zero", "uniform_pull")


def ctc_nll(
    logits_BTC: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    blank: int = 0,
    infeasible: str = "zero",
) -> torch.Tensor:
    """CTC cost of each sequence from logits.

    Args:
        logits_BTC: Logits of all classes.
        labels_BL: Classes, padded with anything. One may be ``blank`` itself: its arc
            then emits blank.
        frame_lens_B: Valid frames.
        label_lens_B: Valid labels.
        blank: Class of blank.
        infeasible: What becomes of sequences with more labels, plus a blank between
            equal neighbours, than frames. Their cost is 0. ``zero``: so is their
            gradient. ``uniform_pull``: as in the original, the gradient at the logits
            is softmax(logits) - 0 in each valid frame, as if no class had any
            posterior. It lowers the logits of likely classes.

    Returns:
        nll_B in nats, at least float32.

    Raises:
        OptionError: Unknown ``infeasible``, or a class that does not exist.
        ValueError: Shapes or lengths do not fit.
    """
    _check_option("infeasible", infeasible, INFEASIBLE)
    device = logits_BTC.device
    labels_BL, frame_lens_B, label_lens_B = (
        x.to(device) for x in (labels_BL, frame_lens_B, label_lens_B)
    )
    nll_B = softmax_loss(
        logits_BTC, labels_BL, frame_lens_B, label_lens_B, "ctc", blank
    )
    feasible_B = get_topology("ctc").feasible(frame_lens_B, label_lens_B, labels_BL)
    nll_B = nll_B.masked_fill(~feasible_B, 0.0)
    if infeasible == "uniform_pull":
        frames_T = torch.arange(logits_BTC.size(1), device=device)
        pulled_BT = (frames_T < frame_lens_B.unsqueeze(1)) & ~feasible_B.unsqueeze(1)
        pull_BT = logits_BTC.to(nll_B.dtype).logsumexp(-1).masked_fill(~pulled_BT, 0.0)
        nll_B = nll_B + (pull_BT - pull_BT.detach()).sum(1)  # 0, with gradient softmax
    return nll_B


class AuxiliaryCtc(torch.nn.Module):
    """The heads of an encoder.

    Args:
        vocab_size: V, with blank at 0 and <sos/eos> last.
        encoder_size: D of the full encoder. An encoder that is still growing may have
            narrower outputs: a head then uses the leading part of its weight.
        layers: Encoder layers with a head, counted from 1.
        weight: Factor of all costs; 0 keeps the heads and computes nothing.
        top_layer: Whether the highest active layer may have a head. While an encoder
            grows, a head becomes active with its layer (true) or one layer later.
        blank: ``separate`` or ``last_label``.
        infeasible: ``zero`` or ``uniform_pull``, see ``ctc_nll``.
        blank_token: Only for ``last_label``: the token that is taken for blank, where
            it is not V - 2 (the original's last label is another one if its
            begin-of-sentence symbol is not label 0).

    Raises:
        OptionError: One of these is unknown or impossible.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_size: int,
        layers: Sequence[int],
        weight: float = 1.0,
        top_layer: bool = True,
        blank: str = "separate",
        infeasible: str = "zero",
        blank_token: Optional[int] = None,
    ):
        super().__init__()
        _check_option("blank", blank, BLANKS)
        _check_option("infeasible", infeasible, INFEASIBLE)
        if any(layer < 1 for layer in layers) or len(set(layers)) != len(layers):
            raise OptionError(
                f"auxiliary CTC on layers {list(layers)}",
                expected="different layer numbers, counted from 1",
            )
        token = vocab_size - 2 if blank_token is None else blank_token
        if blank == "last_label" and not 1 <= token < vocab_size:
            raise OptionError(
                f"auxiliary CTC with token {token} for blank and {vocab_size} tokens",
                expected=f"1 to {vocab_size - 1}",
            )
        self.layers = tuple(sorted(layers))
        self.weight = weight
        self.top_layer = top_layer
        self.infeasible = infeasible
        # the class of a token id is the id minus this; see the top of the file
        self.first_id = 1 if blank == "last_label" else 0
        self.blank = token - 1 if blank == "last_label" else 0
        self.heads = torch.nn.ModuleDict(
            {
                str(layer): init_linear_(
                    torch.nn.Linear(encoder_size, vocab_size - self.first_id)
                )
                for layer in self.layers
            }
        )

    def active_layers(self, num_layers: int) -> Tuple[int, ...]:
        """Layers with a cost while the encoder has ``num_layers``, in ascending order.

        The last of them is what the original scheduled its learning rate by before the
        transducer loss began (``transdN``).
        """
        highest = num_layers if self.top_layer else num_layers - 1
        if self.weight == 0.0:
            return ()
        return tuple(layer for layer in self.layers if layer <= highest)

    def logits(self, layer: int, output_BTD: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, C] of the head on ``layer``."""
        head = self.heads[str(layer)]
        weight = head.weight[:, : output_BTD.size(-1)]
        return F.linear(output_BTD, weight, head.bias)

    def forward(
        self,
        outputs: Sequence[Tuple[int, torch.Tensor]],
        frame_lens_B: torch.Tensor,
        labels_BL: torch.Tensor,
        label_lens_B: torch.Tensor,
        num_layers: int,
    ) -> Dict[int, torch.Tensor]:
        """Unweighted nll_B of each active head.

        Args:
            outputs: (layer, its output [B, T, D]) of each active layer at least.
            frame_lens_B: Valid frames.
            labels_BL: Token ids 1..V-1, padded with anything.
            label_lens_B: Valid labels.
            num_layers: Layers that the encoder has at this time.

        Raises:
            OptionError: The output of an active layer is missing.
        """
        by_layer = dict(outputs)
        active = self.active_layers(num_layers)
        missing = [layer for layer in active if layer not in by_layer]
        if missing:
            raise OptionError(
                f"auxiliary CTC needs the outputs of encoder layers {missing}",
                expected=f"outputs of {list(active)}, got {sorted(by_layer)}",
            )
        return {
            layer: ctc_nll(
                self.logits(layer, by_layer[layer]),
                labels_BL - self.first_id,
                frame_lens_B,
                label_lens_B,
                self.blank,
                self.infeasible,
            )
            for layer in active
        }

    def total(self, nll: Dict[int, torch.Tensor]) -> Optional[torch.Tensor]:
        """Weighted sum over heads and sequences; None if no head is active."""
        if not nll:
            return None
        return self.weight * torch.stack(list(nll.values())).sum()


def _check_option(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        near = nearest(str(value), valid)
        raise OptionError(
            f"auxiliary CTC: {name} {value!r} is unknown",
            expected=", ".join(valid),
            next_step=f"did you mean {near}?" if near else None,
        )
