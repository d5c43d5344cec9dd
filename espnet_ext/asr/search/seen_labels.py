"""What a decoder has seen of the labels, so that equal contexts can be merged."""

# Dimensions: n sequences, K hypotheses, C labels that count (1: a key of all labels)
from typing import Optional

import torch

from espnet_ext.asr.search.surface import extend_keys

NO_LABEL = -1


class SeenLabels:
    """Contexts of hypotheses as tensors [..., C].

    Args:
        size: Labels that the decoder sees, None for all of them.
    """

    def __init__(self, size: Optional[int]):
        self.size = size

    def start(self, n: int, beam: int, device) -> torch.Tensor:
        """Contexts before the first label."""
        if self.size is None:
            return torch.zeros(n, beam, 1, dtype=torch.long, device=device)
        shape = n, beam, self.size
        return torch.full(shape, NO_LABEL, dtype=torch.long, device=device)

    def extend(self, contexts: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Contexts with one more label each."""
        if self.size is None:
            return extend_keys(contexts.squeeze(-1), labels).unsqueeze(-1)
        if self.size == 0:
            return contexts
        return torch.cat([contexts[..., 1:], labels.unsqueeze(-1)], dim=-1)

    def keys(self, contexts: torch.Tensor) -> torch.Tensor:
        """A number for each context."""
        if self.size is None:
            return contexts.squeeze(-1)
        keys = torch.zeros(
            contexts.shape[:-1], dtype=torch.long, device=contexts.device
        )
        for column in contexts.unbind(-1):
            keys = extend_keys(keys, column + 1)
        return keys
