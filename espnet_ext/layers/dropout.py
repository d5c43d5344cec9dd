"""Dropout with one mask for the whole batch and all frames, or one per element.

RETURNN draws the mask over the named axis only and shares it over all others, so
"dropout 0.1 on the features" switches the same features off in every frame of every
sequence of the batch. That is much stronger than elementwise dropout of the same rate.

Source: reference/training.md section 8; RETURNN ``DropoutLayer`` noise shape.
"""

import torch

MASKS = ("shared", "elementwise", "whole")


class FeatureDropout(torch.nn.Module):
    """Inverted dropout over the last axis.

    Args:
        rate: Probability that a feature is set to zero; the others are scaled by
            1 / (1 - rate). Identity in evaluation mode.
        mask: ``shared`` draws one mask of shape [F] for all other axes (the
            original), ``elementwise`` an independent one for every element, ``whole``
            a single number: everything is dropped or everything is scaled.
    """

    def __init__(self, rate: float, mask: str = "shared"):
        super().__init__()
        if mask not in MASKS:
            raise ValueError(f"dropout mask {mask!r}: expected one of {MASKS}")
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"dropout rate {rate}: expected 0 <= rate < 1")
        self.rate = rate
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout of x [..., F]; the same shape."""
        if not self.training or self.rate == 0.0:
            return x
        if self.mask == "elementwise":
            return torch.nn.functional.dropout(x, self.rate)
        size = 1 if self.mask == "whole" else x.size(-1)
        keep = x.new_empty(size).bernoulli_(1.0 - self.rate)
        return x * (keep / (1.0 - self.rate))

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"rate={self.rate}, mask={self.mask}"


def switch_out(labels: torch.Tensor, rate: float, vocab_size: int) -> torch.Tensor:
    """Labels, each replaced with probability ``rate`` by one of 1 .. vocab_size - 1.

    Ref: Wang et al. 2018 (SwitchOut). Source: reference/parts.md 2.3 ``decswitchout``.
    """
    if rate == 0.0 or vocab_size < 2:
        return labels
    replaced = torch.rand(labels.shape, device=labels.device) < rate
    return torch.where(replaced, torch.randint_like(labels, 1, vocab_size), labels)
