"""SwitchOut: symbols that a decoder is fed with are replaced at random in training.

The targets stay as they are. Labels alone are perturbed by ``dropout.switch_out``; here
whole alignments are, in two ways one after the other (``switchout6``).

Ref: Wang et al. 2018, SwitchOut. Source: reference/losses.md 8.
"""

# Dimensions: B batch, T frames
from typing import NamedTuple

import torch

SHORTEST_SPAN, LONGEST_SPAN = 1, 3


class SwitchOut(NamedTuple):
    """How alignments are perturbed.

    Attributes:
        rate: Probability that the symbol of a frame is replaced.
        blank: Probability that it is replaced by blank; else by any label, uniformly.
        frames_per_span: Then up to max(length // this, 1) spans of 1 to 3 frames are
            set to blank, any number of them equally likely; 0 for none.
    """

    rate: float = 0.05
    blank: float = 0.5
    frames_per_span: int = 8

    def __call__(
        self,
        alignment_BT: torch.Tensor,
        frame_lens_B: torch.Tensor,
        vocab_size: int,
        blank: int = 0,
    ) -> torch.Tensor:
        """Perturbed symbols [B, T]; the padding stays."""
        device = alignment_BT.device
        frames_T = torch.arange(alignment_BT.size(1), device=device)
        lens_B1 = frame_lens_B.to(device).unsqueeze(1)
        symbols_BT = alignment_BT
        if self.rate > 0.0 and vocab_size > 1:
            # blank is one of 0 .. V - 1; a label is drawn from the V - 1 others
            label_BT = torch.randint_like(alignment_BT, vocab_size - 1)
            label_BT = label_BT + (label_BT >= blank).long()
            is_blank_BT = torch.rand(alignment_BT.shape, device=device) < self.blank
            new_BT = torch.where(is_blank_BT, blank, label_BT)
            chosen_BT = torch.rand(alignment_BT.shape, device=device) < self.rate
            symbols_BT = torch.where(chosen_BT, new_BT, symbols_BT)
        if self.frames_per_span > 0 and alignment_BT.size(1):
            most_B1 = (lens_B1 // self.frames_per_span).clamp(min=1)
            count_B1 = (torch.rand(most_B1.shape, device=device) * (most_B1 + 1)).long()
            # the first places of a random order of the valid frames are the starts
            order_BT = torch.rand(alignment_BT.shape, device=device)
            order_BT = order_BT.masked_fill(frames_T >= lens_B1, 2.0)
            is_start_BT = order_BT.argsort(1).argsort(1) < count_B1
            size_BT = torch.randint_like(alignment_BT, SHORTEST_SPAN, LONGEST_SPAN + 1)
            left_BT = torch.where(is_start_BT, size_BT, 0)
            covered_BT = left_BT > 0
            for shift in range(1, LONGEST_SPAN):
                covered_BT[:, shift:] |= left_BT[:, :-shift] > shift
            symbols_BT = symbols_BT.masked_fill(covered_BT, blank)
        return torch.where(frames_T < lens_B1, symbols_BT, alignment_BT)
