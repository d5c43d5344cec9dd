"""Linear bottleneck on the encoder output (2020 extended transducer: 2048 to 256).

Source: reference/models.md, "2020 extended transducer".
"""

# Dimensions: B batch, T frames, D encoder, O output
from typing import Tuple

import torch
from espnet2.asr.postencoder.abs_postencoder import AbsPostEncoder

from espnet_ext.layers.init import init_linear_


class LinearPostEncoder(AbsPostEncoder):
    """One linear layer with bias and no activation; Glorot uniform.

    Args:
        input_size: D.
        output_size: O.
    """

    def __init__(self, input_size: int, output_size: int = 256):
        super().__init__()
        self.projection = init_linear_(torch.nn.Linear(input_size, output_size))

    def output_size(self) -> int:
        """O."""
        return self.projection.out_features

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] to [B, T, O], and the same lengths."""
        return self.projection(input), input_lengths
