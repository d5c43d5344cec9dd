"""SwitchOut on the previous symbols of a frame-by-frame decoder (``switchout6``).

What the decoder is told of the past is disturbed in training, what it has to predict
stays: it learns not to trust its own history. Two forms, one after the other:

    replace   each symbol, with some probability, by blank or by any label
    blanks    some stretches of a few frames are set to blank

The form for label sequences (``decswitchout``) is ``layers.dropout.switch_out``.

Ref: Wang et al. 2018, SwitchOut. Source: reference/losses.md 8 (``switchout6``).
"""

# Dimensions: B batch, T frames, V vocabulary
from typing import Optional

import torch


class AlignmentSwitchOut(torch.nn.Module):
    """Disturbs symbols of alignments in training; the identity in evaluation.

    Args:
        vocab_size: V.
        replace: Probability that a symbol is replaced.
        blank_share: Probability that it is replaced by blank; otherwise by a label,
            all equally likely.
        frames_per_stretch: There are 0 to max(T // this, 1) stretches in each
            sequence; T is the longest of the batch. 0 for no stretches.
        stretch: Largest length of a stretch; all lengths from 1 on are equally likely.
        blank: Id of blank; the labels are all other ids.

    Stretches of a sequence begin in different frames, but may overlap.
    """

    random_stream = "noise"

    def __init__(
        self,
        vocab_size: int,
        replace: float = 0.05,
        blank_share: float = 0.5,
        frames_per_stretch: int = 8,
        stretch: int = 3,
        blank: int = 0,
    ):
        super().__init__()
        for name, value in (("replace", replace), ("blank_share", blank_share)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"switchout {name} {value}: expected 0 to 1")
        if frames_per_stretch < 0 or stretch < 1:
            raise ValueError(
                f"switchout frames_per_stretch {frames_per_stretch}, stretch {stretch}:"
                " expected at least 0 and at least 1"
            )
        self.vocab_size = vocab_size
        self.replace = replace
        self.blank_share = blank_share
        self.frames_per_stretch = frames_per_stretch
        self.stretch = stretch
        self.blank = blank
        self.generator: Optional[torch.Generator] = None

    def forward(self, symbols_BT: torch.Tensor) -> torch.Tensor:
        """Symbols [B, T], disturbed; padding is treated like any symbol."""
        if not self.training or symbols_BT.numel() == 0:
            return symbols_BT
        if self.replace > 0.0:
            symbols_BT = self._replaced(symbols_BT)
        if self.frames_per_stretch > 0:
            blanks_BT = self._stretches(*symbols_BT.shape).to(symbols_BT.device)
            symbols_BT = symbols_BT.masked_fill(blanks_BT, self.blank)
        return symbols_BT

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator)

    def _replaced(self, symbols_BT: torch.Tensor) -> torch.Tensor:
        shape = symbols_BT.shape
        chosen_BT = self._uniform(*shape) < self.replace
        to_blank_BT = self._uniform(*shape) < self.blank_share
        labels = max(self.vocab_size - 1, 1)
        label_BT = torch.randint(0, labels, shape, generator=self.generator)
        label_BT = label_BT + (label_BT >= self.blank).long()
        if self.vocab_size < 2:  # blank is all there is
            to_blank_BT = torch.ones_like(to_blank_BT)
        new_BT = torch.where(to_blank_BT, self.blank, label_BT).to(symbols_BT)
        return torch.where(chosen_BT.to(symbols_BT.device), new_BT, symbols_BT)

    def _stretches(self, batch: int, frames: int) -> torch.Tensor:
        """Which frames lie in a stretch, [B, T]."""
        most = min(max(frames // self.frames_per_stretch, 1), frames)
        count_B1 = torch.randint(0, most + 1, (batch, 1), generator=self.generator)
        # the frames with the smallest random numbers are a draw without replacement
        rank_BT = self._uniform(batch, frames).argsort(1).argsort(1)
        length_BT = torch.randint(
            1, self.stretch + 1, (batch, frames), generator=self.generator
        )
        length_BT = length_BT * (rank_BT < count_B1)
        covered_BT = length_BT > 0
        for back in range(1, self.stretch):
            covered_BT[:, back:] |= length_BT[:, :-back] > back
        return covered_BT
