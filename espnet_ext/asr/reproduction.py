"""Reproduction loss: the encoder output has to predict the encoder's input.

Each encoder frame predicts, by one linear layer, the input frames that it stands for.
The cost of an input frame is half the squared distance. Frames of the augmented
features are the target, as the encoder gets them; no gradient goes to the target.

Source: the list of open points in the original's README ("reproduction loss"); there is
no such experiment, so weight and form are ours.
"""

# Dimensions: B batch, N input frames, F feature, T encoder frames, D encoder,
#             R input frames of one encoder frame
from typing import Dict, Optional

import torch

from espnet_ext.layers.init import init_linear_

OPTIONS = {"weight", "reduction", "features"}


class Reproduction(torch.nn.Module):
    """Linear layer and cost.

    Args:
        encoder_size: D.
        features: F.
        reduction: R.
        weight: Factor of the cost of an utterance.
    """

    def __init__(self, encoder_size: int, features: int, reduction: int, weight: float):
        super().__init__()
        self.reduction, self.weight = reduction, weight
        self.output = init_linear_(torch.nn.Linear(encoder_size, reduction * features))

    @classmethod
    def of(cls, options: Dict, encoder_size: int, frontend, encoder) -> "Reproduction":
        """From ``weight``, and ``reduction`` and ``features`` where encoder and
        frontend do not tell.

        Raises:
            ValueError: An unknown option, or one that is needed.
        """
        front = getattr(encoder, "frontend", encoder)  # of ours, or a BLSTM encoder
        known: Dict[str, Optional[int]] = {
            "reduction": getattr(front, "reduction", None),
            "features": None if frontend is None else frontend.output_size(),
            **options,
        }
        missing = sorted(key for key in OPTIONS if known.get(key) is None)
        if missing or set(known) - OPTIONS:
            raise ValueError(
                f"reproduction {options}: expected weight, and reduction and features "
                f"where they are not known (missing: {', '.join(missing) or 'none'})"
            )
        return cls(encoder_size, known["features"], known["reduction"], known["weight"])

    def forward(
        self, frames_BTD: torch.Tensor, features_BNF: torch.Tensor, lengths_B
    ) -> torch.Tensor:
        """Unweighted cost [B]: sum over input frames, mean over features."""
        predicted_BTX = self.output(frames_BTD)
        predicted_BNF = predicted_BTX.unflatten(2, (self.reduction, -1)).flatten(1, 2)
        frames = min(predicted_BNF.size(1), features_BNF.size(1))
        difference_BNF = predicted_BNF[:, :frames] - features_BNF[:, :frames].detach()
        frames_N = torch.arange(frames, device=frames_BTD.device)
        valid_BN = frames_N < lengths_B.to(frames_BTD.device).unsqueeze(1)
        cost_BN = difference_BNF.square().mean(2) / 2
        return cost_BN.masked_fill(~valid_BN, 0.0).sum(1)
