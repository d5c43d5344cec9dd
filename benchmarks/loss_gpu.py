"""Fused full-sum loss on a GPU against torchaudio and warp-rnnt: time and memory.

    python benchmarks/loss_gpu.py --json FILE             # on a machine with a GPU
    python benchmarks/loss_gpu.py --json FILE --interpret # tiny, CPU: values only

Each implementation goes from the projections of encoder and prediction network to all
gradients, output layer included: RNN-T with one softmax over V symbols, maxout readout.
Times are medians between CUDA events, memory is the peak above the inputs. The floor is
what the four matrix products that the loss needs (one forward; logits once more and two
gradients backward) take as plain library calls over all nodes of the lattice; skipping
of nodes without posterior in the backward pass may beat it, so there is a row without.
"""

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, List, Optional

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from benchmarks.loss_gpu_cases import (  # noqa: E402
    LOSSES,
    READOUT,
    WARM_UP,
    Size,
    kernels_loss,
    make_problem,
    measure_one,
    step,
    torchaudio_loss,
)
from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    hardware,
    package_version,
)
from espnet_ext.errors import ToolMissingError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

BATCH, FRAMES, LABELS = 32, 300, 80
VOCABULARIES = (1031, 10025)
DTYPES = ("bfloat16", "float32")
NO_GPU = "not run: no GPU"
INTERPRETED = "Triton's interpreter on the CPU: values only"
TINY = Size(2, 4, 2, 40, 20)


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(
        description="Time and memory of the fused full-sum loss on a GPU against "
        "torchaudio and warp-rnnt."
    )
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--repeats", type=int, default=10, help="timed steps")
    parser.add_argument(
        "--interpret",
        action="store_true",
        help="a tiny size in Triton's interpreter: shows that it works, not how fast",
    )
    return parser


def in_fresh_process(*arguments: Any) -> Dict[str, Any]:
    """``measure_one``, which a crash of an earlier measurement cannot reach."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure_one, *arguments).result()
        except BrokenProcessPool:
            return {"status": "fails: its process died"}
        except Exception as error:
            # whatever it was, the other measurements can be made
            lines = str(error).splitlines() or [type(error).__name__]
            return {"status": f"fails: {lines[0]}"}


def rows_on_gpu(size: Size, dtype: str, repeats: int) -> List[Dict[str, Any]]:
    """All implementations at one size."""
    floor = in_fresh_process(size, dtype, "floor", repeats).get("time_ms")
    results = {name: in_fresh_process(size, dtype, name, repeats) for name in LOSSES}
    peer = results["torchaudio"]
    rows = []
    for name, result in results.items():
        row = {"size": size.name, "dtype": dtype, "name": name, "exact": True}
        row.update({key: value for key, value in result.items() if key != "nll"})
        if "time_ms" in row and floor is not None:
            row["floor_ms"] = round(floor, 3)
            row["floor_fraction"] = round(floor / row["time_ms"], 3)
        if "time_ms" in row and "time_ms" in peer:
            row["time_ratio"] = round(row["time_ms"] / peer["time_ms"], 4)
            row["memory_ratio"] = round(row["peak_mb"] / peer["peak_mb"], 4)
            pairs = zip(result["nll"], peer["nll"])
            row["difference"] = max(abs(a - b) / abs(b) for a, b in pairs)
        rows.append(row)
    return rows


def rows_interpreted() -> List[Dict[str, Any]]:
    """The tiny size on kernels, compared with torchaudio."""
    rows = []
    for dtype in DTYPES:
        problem = make_problem(TINY, dtype, "cpu")
        ours_B = step(kernels_loss, problem).double()
        peer_B = step(torchaudio_loss, problem).double()
        row = {"size": TINY.name, "dtype": dtype, "name": "fused", "exact": True}
        difference = float(((ours_B - peer_B) / peer_B).abs().max())
        rows.append({**row, "status": INTERPRETED, "difference": difference})
    return rows


def rows_not_run() -> List[Dict[str, Any]]:
    """One row for each measurement that there is none of."""
    sizes = [Size(BATCH, FRAMES, LABELS, vocabulary) for vocabulary in VOCABULARIES]
    return [
        {"size": size.name, "dtype": dtype, "name": name, "status": NO_GPU}
        for size in sizes
        for dtype in DTYPES
        for name in LOSSES
    ]


def table(rows: List[Dict[str, Any]]) -> str:
    """The rows for people."""
    columns = ("time_ms", "time_ratio", "peak_mb", "memory_ratio", "floor_fraction")
    columns += ("difference", "status")
    cells = [("size", "dtype", "name", *columns)]
    for row in rows:
        values = (row.get(column, "-") for column in columns)
        cells.append((row["size"], row["dtype"], row["name"], *map(str, values)))
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
        for line in cells
    )


def settings(arguments: argparse.Namespace) -> Dict[str, Any]:
    """Machine, versions, options."""
    import torch

    found = {**environment(), "machine": hardware(), "gpu": None}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    packages = ("triton", "torchaudio", "warp-rnnt")
    found.update({name: package_version(name) for name in packages})
    found.update(
        repeats=arguments.repeats,
        warm_up=WARM_UP,
        interpreted=arguments.interpret,
        readout=READOUT,
        float32_products=torch.get_float32_matmul_precision(),
    )
    return found


def main(argv: Optional[List[str]] = None) -> None:
    """Measure, print and write."""
    arguments = get_parser().parse_args(argv)
    if arguments.interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
    import torch

    from espnet_ext.asr.loss.triton.probe import probe

    if arguments.interpret:
        rows = rows_interpreted()
    elif torch.cuda.is_available():
        if (reason := probe("cuda")) is not None:
            raise ToolMissingError(
                f"the Triton kernels cannot be used: {reason}",
                next_step="espnet-ext doctor",
            )
        rows = []
        for vocabulary in VOCABULARIES:
            for dtype in DTYPES:
                size = Size(BATCH, FRAMES, LABELS, vocabulary)
                rows += rows_on_gpu(size, dtype, arguments.repeats)
    else:
        print(NO_GPU)
        rows = rows_not_run()
    found = settings(arguments)
    print("\n".join(f"{name}: {value}" for name, value in found.items()))
    print(table(rows))
    with atomic_write(arguments.json) as file:
        json.dump({"settings": found, "rows": rows}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    sys.exit(run_main(main))
