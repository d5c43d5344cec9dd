"""The elementwise masks of ``fused_dropout.py`` in a kernel, bit for bit.

An element is a hash of (seed, node, column), in integers that wrap around, so that a
GPU, the interpreter and PyTorch agree, and with them every cutting into tiles.
"""

# Dimensions: N nodes, J readout
import triton
import triton.language as tl


@triton.jit
def _mix_64(x):
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


@triton.jit
def _mix_32(x):
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x1FFFF)) * -0x7B935975
    return x ^ ((x >> 16) & 0xFFFF)


@triton.jit
def keep_tile(seed, node, column, threshold):
    """Which elements of a tile stay: boolean [N, J].

    Args:
        seed: Of ``fused_dropout.draw_seed``.
        node: int64 [N], number of the node in the padded lattice.
        column: int32 [J].
        threshold: Hash values below it are dropped.
    """
    row = _mix_64((node + 1) * -0x61C8864680B583EB + seed).to(tl.int32)
    return _mix_32(row[:, None] + (column * -0x61C88647)[None, :]) >= threshold


def threshold_of(rate: float) -> int:
    """The bound that a fraction ``rate`` of all signed 32-bit values stays below."""
    return round(rate * 2**32) - 2**31
