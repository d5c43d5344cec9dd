"""``espnet-ext determinism check``: a configuration trained twice and compared.

    espnet-ext determinism check --steps 20 --config exp/NAME/config.yaml

Options that it does not know are those of ``espnet_ext.bin.asr_train``; the
``config.yaml`` of an experiment's folder has all that are needed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Sequence

from espnet_ext.errors import EXIT_SAVED, OptionError, StageFailedError
from espnet_ext.train.trace import Entry, first_difference, read_trace

TAIL_LINES = 15


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="espnet-ext determinism",
        description="Train a configuration twice for some steps and say where the runs "
        "differ first. Further options: those of espnet_ext.bin.asr_train.",
    )
    parser.add_argument("action", choices=["check"])
    parser.add_argument("--config", required=True, help="Training configuration")
    parser.add_argument("--steps", type=int, default=20, help="Batches of each run")
    parser.add_argument(
        "--deterministic",
        choices=["true", "false"],
        default="true",
        help="With deterministic algorithms, or as a training without the option",
    )
    return parser


def traced_run(folder: Path, arguments: Sequence[str]) -> List[Entry]:
    """Train in a process of its own and return the trace.

    Raises:
        StageFailedError: The training failed.
    """
    trace = folder / "trace.jsonl"
    command = [sys.executable, "-m", "espnet_ext.bin.asr_train", *arguments]
    command += ["--output_dir", str(folder / "exp"), "--resume", "false"]
    command += ["--trace_file", str(trace), "--use_tensorboard", "false"]
    done = subprocess.run(command, capture_output=True, text=True)
    # it ends as if stopped when the trace is complete, or earlier by itself
    if done.returncode not in (0, EXIT_SAVED):
        tail = "\n".join(f"    | {t}" for t in done.stderr.splitlines()[-TAIL_LINES:])
        raise StageFailedError(
            f"the training failed with status {done.returncode}:\n{tail}",
            where=" ".join(command),
        )
    return read_trace(trace)


def main(argv: Sequence[str]) -> int:
    """Compare; 0 if there is no difference, 1 if there is."""
    options, rest = get_parser().parse_known_args(list(argv))
    if options.steps < 1:
        raise OptionError(f"--steps {options.steps}", expected="at least 1")
    arguments = ["--config", options.config, *rest]
    arguments += ["--deterministic", options.deterministic]
    arguments += ["--trace_steps", str(options.steps)]
    traces = []
    for run in (1, 2):
        with tempfile.TemporaryDirectory(prefix="espnet-ext-determinism-") as folder:
            print(f"run {run} of 2", file=sys.stderr)
            traces.append(traced_run(Path(folder), arguments))
    steps = traces[0][-1].step if traces[0] else 0
    found = first_difference(*traces)
    if found is None:
        print(f"{steps} steps, no difference in {len(traces[0])} tensors")
        return 0
    print(f"first difference: step {found['step']}, {found['kind']} {found['name']}")
    if found["module"]:
        print(f"  module: {found['module']}")
    if "other" in found:
        print(f"  the second run has {found['other']} there")
    return 1
