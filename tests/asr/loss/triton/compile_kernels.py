"""Compile every kernel for a GPU that is not there, as a launch would, and weigh it.

    python -m tests.asr.loss.triton.compile_kernels 90 [--candidates]

A launch is stopped after the compiler: the real code of ``passes.py`` decides on
types, sizes and options. Prints one JSON line a kernel: registers, bytes of stack
(registers that did not fit), bytes of shared memory, instructions of tensor cores.
"""

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from espnet_ext.asr.loss.fused_function import Plan
from espnet_ext.asr.loss.fused_readout import get_activation
from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.asr.loss.triton import passes
from espnet_ext.asr.loss.triton.blocks import CANDIDATES, interpreting
from espnet_ext.asr.loss.triton.joint import joint_of
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.recursion import recursion

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
BATCH, FRAMES, POSITIONS = 2, 4, 3


class AbsentGpu:
    """As much of a driver as the compiler asks for."""

    def __init__(self, capability: int):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")


def weigh(kernel, name: str, case: str) -> dict:
    """What NVIDIA's tools say about a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run(
                [TOOLS / tool, option, file.name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for tool, option in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    return {
        "case": case,
        "kernel": name,
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "spills": len(re.findall(r"\bSTL\b", code)),
        "shared": kernel.metadata.shared,
        "warps": kernel.metadata.num_warps,
        "tensor_core": len(re.findall(r"\w*(?:HGMMA|HMMA|DMMA)\b", code)),
    }


class Compiler:
    """Takes the place of ``JITFunction.run``."""

    def __init__(self):
        self.case = ""
        self.run = JITFunction.run

    def install(self) -> None:
        """From now on a launch only compiles, and prints a line."""

        def run(function, *args, grid, warmup, **options):
            kernel = self.run(function, *args, grid=grid, warmup=True, **options)
            name = function.fn.__name__
            print(json.dumps(weigh(kernel, name, self.case)), flush=True)
            return kernel

        JITFunction.run = run


def both_passes(
    dtype, size, units, activation="maxout", dropout=0.0, repeats=False, blank=None,
    blocks=None,
):  # fmt: skip
    """Forward and backward pass on tensors whose values nobody looks at."""
    columns = size // 2 if activation == "maxout" else size
    plan = Plan(
        *(torch.zeros(BATCH, 0), torch.zeros(BATCH), torch.zeros(BATCH)),
        get_topology("rna"),
        blank=0,
        blank_unit=blank,
        activation=get_activation(activation),
        options=GradientOptions(),
        mask_J=None,
        dropout_rate=dropout,
        dropout_seed=2**40,
        threshold=0.0,
        tile=0,
    )
    am, lm = torch.zeros(BATCH, FRAMES, size), torch.zeros(BATCH, POSITIONS, size)
    weights = torch.zeros(units, columns), torch.zeros(units)
    emission = torch.zeros(1, columns) if blank is None else None
    if dtype == torch.float64:
        weights = [x.double() for x in weights]
    joint = joint_of(am.to(dtype), lm.to(dtype), *weights, emission, plan, blocks)
    node_N = torch.arange(BATCH * FRAMES * POSITIONS)
    frame_N = node_N // POSITIONS
    position_N = frame_N // FRAMES * POSITIONS + node_N % POSITIONS
    nodes = Nodes(node_N, frame_N, position_N, node_N, node_N if repeats else None)
    tiles = passes.Tiles()
    passes.forward_pass(joint, nodes, tiles)
    part = torch.zeros(len(node_N), dtype=joint.sum_dtype)
    coefficients = LogitCoefficients(
        *(part, part, part),
        part if repeats else None,
        part if repeats else None,
        None if blank is None else part,
    )
    emission_gradient = part if blank is None else None
    lattice = FRAMES, POSITIONS
    passes.backward_pass(joint, nodes, coefficients, emission_gradient, lattice, tiles)


def main(capability: int, candidates: bool = False) -> None:
    """All kernels in the formats and sizes of the benchmark, and some more.

    ``candidates`` adds every tile that a search for the fastest may try.
    """
    assert not interpreting(), "unset TRITON_INTERPRET"
    triton.runtime.driver.set_active(AbsentGpu(capability))
    compiler = Compiler()
    compiler.install()
    # the products of the library have no CPU version with another result type
    passes.add_product = lambda out, a, b: out.addmm_(a.to(out.dtype), b.to(out.dtype))
    for precision, dtype in (
        ("highest", torch.bfloat16),
        ("highest", torch.float32),
        ("high", torch.float32),
        ("highest", torch.float64),
    ):
        torch.set_float32_matmul_precision(precision)
        compiler.case = f"{dtype} {precision}"
        both_passes(dtype, 1000, 1030)
    compiler.case = "elementwise dropout, repeat arcs, smoothing"
    both_passes(torch.bfloat16, 1000, 1030, dropout=0.3, repeats=True)
    compiler.case = "tanh, one softmax"
    both_passes(torch.float16, 640, 500, "tanh", blank=0)
    for number, blocks in enumerate(CANDIDATES if candidates else ()):
        compiler.case = f"candidate {number}"
        both_passes(torch.bfloat16, 1000, 1030, blocks=blocks)
    for states, offsets in itertools.product((81, 201, 600), (2, 3)):
        compiler.case = f"{states} states, {offsets} arcs"
        arc = torch.zeros(5, 4, states, dtype=torch.float64)
        recursion({offset: arc for offset in range(offsets)}, arc[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), "--candidates" in sys.argv)
