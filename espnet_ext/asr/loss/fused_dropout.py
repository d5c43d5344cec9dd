"""Dropout masks that are the same whenever and in whatever order they are asked for.

The fused loss computes each node of the lattice twice, in the backward pass in other
tiles than in the forward pass. So an elementwise mask must not come from a running
generator: each element is a hash of (seed, node, feature), and only the seed is drawn
from the stream.

Source: the finaliser of the hash is Wellons 2018, "Prospecting for Hash Functions"
(lowbias32); the one of nodes is Steele et al. 2014, "Fast Splittable Pseudorandom
Number Generators" (splitmix64).
"""

# Dimensions: N nodes, J readout
from typing import Optional

import torch

_GOLDEN_32 = 0x9E3779B9 - 2**32
_GOLDEN_64 = 0x9E3779B97F4A7C15 - 2**64


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift of signed integers."""
    width = torch.iinfo(x.dtype).bits
    return (x >> bits) & (2 ** (width - bits) - 1)


def _mix_64(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift_right(x, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ _shift_right(x, 27)) * (0x94D049BB133111EB - 2**64)
    return x ^ _shift_right(x, 31)


def _mix_32(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift_right(x, 16)) * 0x7FEB352D
    x = (x ^ _shift_right(x, 15)) * (0x846CA68B - 2**32)
    return x ^ _shift_right(x, 16)


def draw_seed(generator: Optional[torch.Generator]) -> int:
    """A seed from the stream, or from torch's default generator."""
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**62, (), generator=generator, device=device)
    return int(seed)


def elementwise_mask(
    seed: int, node_N: torch.Tensor, features: int, rate: float, dtype: torch.dtype
) -> torch.Tensor:
    """[N, J] of 0 with probability ``rate`` and else 1 / (1 - rate).

    Args:
        seed: Of ``draw_seed``.
        node_N: Number of each node in the whole lattice.
        features: J.
        rate: Probability of 0, below 1.
        dtype: Of the result.
    """
    node_N = _mix_64((node_N + 1) * _GOLDEN_64 + seed).to(torch.int32)
    feature_J = torch.arange(features, dtype=torch.int32, device=node_N.device)
    hash_NJ = _mix_32(node_N.unsqueeze(1) + feature_J * _GOLDEN_32)
    keep_NJ = hash_NJ >= round(rate * 2**32) - 2**31
    return keep_NJ.to(dtype).mul_(1.0 / (1.0 - rate))


def shared_mask(
    like: torch.Tensor, features: int, rate: float, generator=None
) -> torch.Tensor:
    """[J], one mask for all nodes; drawn as ``FeatureDropout`` draws it."""
    keep_J = like.new_empty(features).bernoulli_(1.0 - rate, generator=generator)
    return keep_J / (1.0 - rate)
