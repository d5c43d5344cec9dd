"""Block sizes, number formats and the switch between a GPU and Triton's interpreter."""

# Dimensions: N nodes, K labels, J readout
from dataclasses import dataclass
from typing import Dict, Tuple

import torch
import triton
import triton.language as tl

# All columns of buffers are filled up to a multiple of this, so that rows start at
# addresses from which a GPU can load 16 bytes at once, and loops need no mask.
COLUMNS = 64

TL_TYPES: Dict[torch.dtype, tl.dtype] = {
    torch.float64: tl.float64,
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}


@dataclass(frozen=True)
class Blocks:
    """Tile of the matrix products of the label softmax; powers of two from 16 on.

    Attributes:
        nodes, labels, inner: Extent of a tile in N, K and J; ``inner`` divides
            ``COLUMNS``.
        num_warps, num_stages: Of the compiled kernels.
    """

    nodes: int = 128
    labels: int = 128
    inner: int = 64
    num_warps: int = 8
    num_stages: int = 3


HALF = Blocks()
TF32 = Blocks(inner=32)
# without tensor cores the operands of a tile go through registers
IEEE = Blocks(nodes=64, labels=64, inner=16, num_warps=8, num_stages=2)
DOUBLE = Blocks(nodes=32, labels=32, inner=16, num_warps=4, num_stages=2)
INTERPRETER = Blocks(nodes=16, labels=16, inner=16)

# What a search for the fastest tile may try; nothing else is compiled. The choice is
# never made by timing inside of a training: another tile is another order of summation,
# and a resumed run would not repeat the interrupted one bit for bit.
CANDIDATES: Tuple[Blocks, ...] = (
    HALF,
    Blocks(nodes=128, labels=256, inner=64, num_warps=8, num_stages=3),
    Blocks(nodes=256, labels=128, inner=64, num_warps=8, num_stages=3),
    Blocks(nodes=64, labels=128, inner=64, num_warps=4, num_stages=4),
    TF32,
    IEEE,
)


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU."""
    return bool(triton.knobs.runtime.interpret)


def operand_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of the operands of matrix products, from that of the projections.

    It is the same one. Only the interpreter, which is NumPy and has no bfloat16, gets
    float32 in its place.
    """
    if interpreting() and dtype in (torch.bfloat16, torch.float16):
        return torch.float32
    return dtype


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format in which is summed: float32, or float64 for float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def dot_precision() -> str:
    """How float32 is multiplied, as ``torch.set_float32_matmul_precision`` says."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def default_blocks(dtype: torch.dtype) -> Blocks:
    """A tile that fits the shared memory and registers of an A100 or H100."""
    if interpreting():
        return INTERPRETER
    if dtype == torch.float64:
        return DOUBLE
    if dtype == torch.float32:
        return IEEE if dot_precision() == "ieee" else TF32
    return HALF


def padded(columns: int) -> int:
    """The next multiple of ``COLUMNS``."""
    return -(-columns // COLUMNS) * COLUMNS
