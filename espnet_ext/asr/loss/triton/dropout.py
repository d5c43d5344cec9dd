"""Elementwise dropout masks without memory: a hash of seed, node and column.

Forward and backward pass, and any cutting into tiles, see the same mask because it is
a function of (seed, node, column) alone. The hash is the 32-bit finaliser of
MurmurHash3 (A. Appleby, public domain), once for each of the words that go in: integer
arithmetic, so that a GPU, the interpreter and PyTorch agree bit for bit.
"""

# Dimensions: N nodes, J readout
import torch
import triton
import triton.language as tl

WORD = 0xFFFFFFFF
FIRST, SECOND = 0x85EBCA6B, 0xC2B2AE35


@triton.jit
def _mix(x):
    x = x ^ (x >> 16)
    x = x * 0x85EBCA6B
    x = x ^ (x >> 13)
    x = x * 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def keep_tile(seed, node, column, threshold):
    """Which elements of a tile stay: boolean [N, J].

    Args:
        seed: Seed below 2^31, a number.
        node: int64 [N], number of the node in the padded lattice.
        column: int32 [J].
        threshold: rate times 2^32, a number below 2^32.
    """
    low = (node & 0xFFFFFFFF).to(tl.uint32)
    high = (node >> 32).to(tl.uint32)
    row = _mix(_mix(low ^ seed.to(tl.uint32)) + high)
    word = _mix(row[:, None] ^ _mix(column.to(tl.uint32))[None, :])
    return word.to(tl.int64) >= threshold


def _mix_words(x: torch.Tensor) -> torch.Tensor:
    # products overflow int64 and keep their low 32 bits
    x = x ^ (x >> 16)
    x = (x * FIRST) & WORD
    x = x ^ (x >> 13)
    x = (x * SECOND) & WORD
    return x ^ (x >> 16)


def threshold_of(rate: float) -> int:
    """The bound on a hash value that a fraction ``rate`` of all values stays below."""
    return round(rate * 2**32)


def keep_elements(
    seed: int, node_N: torch.Tensor, columns: int, rate: float
) -> torch.Tensor:
    """The mask of ``keep_tile`` in PyTorch: boolean [N, columns]."""
    column = torch.arange(columns, device=node_N.device)
    row = _mix_words((_mix_words((node_N & WORD) ^ seed) + (node_N >> 32)) & WORD)
    word = _mix_words(row.unsqueeze(1) ^ _mix_words(column))
    return word >= threshold_of(rate)
