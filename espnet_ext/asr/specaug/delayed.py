"""ESPnet's SpecAugment, switched on after a number of training batches.

The original masks little in its first 1,000 and 2,000 batches. Without such a delay a
small model that starts with CTC stays much longer in the plateau where it emits
nothing but blank.

Source: reference/parts.md 2.5 (``specaug``: the steps 1000 and 2000).
Differs from the original's masks, which depend on the step in more ways.
"""

from typing import Optional, Tuple

import torch
from espnet2.asr.specaug.specaug import SpecAug


class DelayedSpecAug(SpecAug):
    """SpecAug that is the identity for the first ``start_batch`` training batches.

    Args:
        start_batch: Number of training batches without masks, counted over the whole
            training; the count is part of the checkpoint.
        kwargs: Options of ESPnet's SpecAug.

    ESPnet's code draws from torch's default generator; here that is seeded from the
    stream ``augment`` for the call and left as it was.
    """

    random_stream = "augment"
    generator: Optional[torch.Generator] = None

    def __init__(self, start_batch: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.start_batch = start_batch
        # a float, because n-best averaging adds up integer buffers
        self.register_buffer("seen_batches", torch.tensor(0.0, dtype=torch.float64))

    def forward(
        self, x: torch.Tensor, x_lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Features [B, T, F] with masks, or as they are before ``start_batch``."""
        if self.training:
            self.seen_batches += 1
            if float(self.seen_batches) <= self.start_batch:
                return x, x_lengths
        if self.generator is None:
            return super().forward(x, x_lengths)
        seed = int(torch.randint(2**62, (), generator=self.generator))
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            return super().forward(x, x_lengths)
