"""Time and memory of one training step: stock ESPnet's, and ours.

    python benchmarks/train_step.py --json FILE

Every case lives in a process of its own; after a warm-up they take one step each in
turn, so that whatever slows the machine down meets all of them. 8 utterances of 10 s
with 30 labels out of 1031; forward pass, backward pass, update.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    hardware,
    package_version,
)
from espnet_ext.errors import OptionError, ToolMissingError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402
from espnet_ext.train.freed_memory import THRESHOLD_BYTES  # noqa: E402

# each case with the one it is compared with
COMPARED = {
    "stock": "stock",
    "stock_encoder_our_loss": "stock",
    "stock_encoder_our_loss_lean": "stock",
    "stock_encoder_our_loss_recompute": "stock",
    "stock:returned": "stock",
    "stock_encoder_our_loss_lean:returned": "stock",
    "stock_encoder_alone": "stock",
    "our_conformer": "stock",
    "torch_blstm": "torch_blstm",
    "our_blstm": "torch_blstm",
}
RETURNED = ":returned"  # cases with this suffix call return_freed_blocks first
PARTS = ("forward_s", "backward_s", "update_s")


def peak_mb() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(case: str, threads: int) -> int:
    """A case's process: a step for each line that comes in, a line of JSON for each."""
    import torch

    import espnet_ext.tasks.asr  # noqa: F401 (start, not the step)
    from benchmarks.train_step_cases import Step
    from espnet_ext.train.freed_memory import return_freed_blocks

    torch.set_num_threads(threads)
    if case.endswith(RETURNED) and not return_freed_blocks():
        raise ToolMissingError("this C library is not glibc", where=case)
    torch.set_flush_denormal(True)
    start_mb = peak_mb()
    step = Step(case.removesuffix(RETURNED))
    print(json.dumps({"parameters": step.parameters()}), flush=True)
    for _ in sys.stdin:
        seconds = step()
        found = dict(zip(PARTS, seconds))
        found.update(seconds=sum(seconds), peak_mb=peak_mb() - start_mb)
        print(json.dumps(found), flush=True)
    return 0


class Worker:
    """The process of one case."""

    def __init__(self, case: str, threads: int):
        command = [sys.executable, str(Path(__file__).resolve()), "--json", "unused"]
        command += ["--worker", case, "--threads", str(threads)]
        self.case = case
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.parameters = int(self._answer()["parameters"])

    def _answer(self) -> Dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the process of case {self.case} has ended")

    def step(self) -> Dict[str, float]:
        """Let it make one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let it end."""
        self.process.communicate()


def measure(cases: Sequence[str], threads: int, repeats: int) -> List[Dict[str, Any]]:
    """One row a case: medians of the steps, taken in turn, and the peak memory."""
    workers = [Worker(case, threads) for case in cases]
    try:
        for worker in workers:
            worker.step()
        rounds = [[worker.step() for worker in workers] for _ in range(repeats)]
    finally:
        for worker in workers:
            worker.end()
    rows = []
    for worker, steps in zip(workers, zip(*rounds)):
        row: Dict[str, Any] = {"case": worker.case, "threads": threads}
        row["parameters"] = worker.parameters
        for key in ("seconds", *PARTS):
            row[key] = round(statistics.median(step[key] for step in steps), 3)
        row["all_seconds"] = [round(step["seconds"], 3) for step in steps]
        row["peak_mb"] = round(steps[-1]["peak_mb"], 1)
        rows.append(row)
    return rows


def compare(rows: List[Dict[str, Any]]) -> None:
    """Add to each row how it stands to the case it is compared with."""
    found = {row["case"]: row for row in rows}
    for row in rows:
        peer = found.get(COMPARED[row["case"]])
        if peer is not None:
            row["times_faster"] = round(peer["seconds"] / row["seconds"], 3)
            row["memory_ratio"] = round(row["peak_mb"] / peer["peak_mb"], 3)


def benchmark(args: argparse.Namespace) -> int:
    """Run all cases; print the table and write the JSON."""
    from benchmarks import train_step_cases as sizes

    cases = args.cases.split() or list(COMPARED)
    if set(cases) - set(COMPARED):
        raise OptionError(
            f"cases {args.cases!r}", where="--cases", expected=" ".join(COMPARED)
        )
    rows: List[Dict[str, Any]] = []
    for threads in args.threads:
        measured = measure(cases, threads, args.repeats)
        compare(measured)
        for row in measured:
            print(json.dumps(row), flush=True)
        rows += measured
    settings = {
        **environment(),
        "machine": hardware(),
        "espnet version": package_version("espnet"),
        "torchaudio version": package_version("torchaudio"),
        "batch": f"{sizes.BATCH} utterances of {sizes.SECONDS} s at "
        f"{sizes.SAMPLING_RATE} Hz, {sizes.LABELS} of {sizes.VOCABULARY} labels each",
        "update": "AdamW on all parameters",
        "denormals": "flushed in all cases",
        "repeats": f"median of {args.repeats} after 1, cases in turn",
        "peak_mb": "peak resident size above that of the process with everything "
        "imported and nothing built: parameters, their gradients and the state of the "
        "optimizer are in it",
        "returned": f"freed blocks of {THRESHOLD_BYTES} bytes or more go back to the "
        "system, which our trainer does if recompute is on",
        "lean": "our options recompute and fast_products on the encoder",
        "stock": "ESPnet's own parts with torchaudio's loss in the place of the "
        "missing warprnnt_pytorch",
    }
    with atomic_write(args.json) as file:
        json.dump({"settings": settings, "rows": rows}, file, indent=1)
        file.write("\n")
    for key, value in settings.items():
        print(f"{key}: {value}")
    print(f"written to {args.json}")
    return 0


def get_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[2, 1], help="CPU threads, in turn"
    )
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each")
    parser.add_argument("--cases", default="", help="some of the cases only")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    if args.worker:
        return work(args.worker, args.threads[0])
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
