"""CTC output layers on intermediate encoder layers, in the forms of the original.

| form | classes | blank | layer at the top of the encoder |
|---|---|---|---|
| aux | V - 1 | the last label (a defect) | has no loss |
| f | V - 1 | the last label (a defect) | has a loss |
| ff | V | blank | has a loss |

Source: reference/models.md d.8; reference/parts.md 2.4; reference/losses.md 4.
"""

# Dimensions: B batch, T frames, D encoder, L labels, C classes, V vocabulary with blank
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.init import init_linear_

FORMS = ("aux", "f", "ff")


def ctc_nll(
    logits_BTC: torch.Tensor,
    classes_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    blank: int,
) -> torch.Tensor:
    """CTC loss of each sequence in nats; 0 without gradient where there is no path."""
    log_probs_TBC = logits_BTC.float().log_softmax(dim=2).transpose(0, 1)
    return F.ctc_loss(
        log_probs_TBC,
        classes_BL,
        frame_lens_B,
        label_lens_B,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )


class CtcHeads(torch.nn.Module):
    """One Linear layer with bias for each of the layers.

    Args:
        encoder_size: D.
        vocab_size: V with blank at 0 and <sos/eos> at V - 1.
        layers: 1-based numbers of encoder layers, ascending.
        form: ``aux``, ``f`` or ``ff``, see the module.
        blank_token: Token that serves as blank in the forms ``aux`` and ``f``; by
            default the last one before <sos/eos>.
    """

    def __init__(
        self,
        encoder_size: int,
        vocab_size: int,
        layers: Sequence[int],
        form: str = "ff",
        blank_token: Optional[int] = None,
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"aux_ctc form {form!r}: expected one of {FORMS}")
        if sorted(set(layers)) != list(layers) or min(layers, default=1) < 1:
            raise ValueError(
                f"aux_ctc layers {list(layers)}: expected ascending positive numbers"
            )
        self.numbers = list(layers)
        self.form = form
        # class of a token is its id minus this
        self.shift = 0 if form == "ff" else 1
        self.blank = 0
        if form != "ff":
            last = max(vocab_size - 2, 1) if blank_token is None else blank_token
            self.blank = last - 1
        classes = max(vocab_size - self.shift, 1)
        self.heads = torch.nn.ModuleDict(
            {
                str(number): init_linear_(torch.nn.Linear(encoder_size, classes))
                for number in layers
            }
        )

    def has_loss(self, number: int, active_layers: int) -> bool:
        """Whether a layer has a loss while that many layers are active."""
        if self.form == "aux":
            return number < active_layers
        return number <= active_layers

    def forward(
        self,
        outputs: List[Tuple[int, torch.Tensor]],
        active_layers: int,
        frame_lens_B: torch.Tensor,
        labels_BL: torch.Tensor,
        label_lens_B: torch.Tensor,
    ) -> Dict[int, torch.Tensor]:
        """Negative log-likelihoods [B] by layer number.

        Args:
            outputs: (number, output [B, T, D]) of layers.
            active_layers: Number of the encoder's top layer at present.
            frame_lens_B: Valid frames.
            labels_BL: Token ids, padded with anything.
            label_lens_B: Valid labels.
        """
        classes_BL = (labels_BL - self.shift).clamp(min=0)
        return {
            number: ctc_nll(
                self.heads[str(number)](output_BTD),
                classes_BL,
                frame_lens_B,
                label_lens_B,
                self.blank,
            )
            for number, output_BTD in outputs
            if self.has_loss(number, active_layers)
        }
