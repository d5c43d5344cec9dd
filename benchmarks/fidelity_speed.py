"""What the original's peculiarities cost: a training step with and without them.

    python benchmarks/fidelity_speed.py --json FILE

Named experiments at full size, built with ``fidelity: original`` and ``corrected``,
take steps in turn: features of 8 utterances of 10 s, 30 of 1030 labels each; forward
pass with its random masks, backward pass, no update.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import environment, hardware  # noqa: E402
from espnet_ext.errors import run_main  # noqa: E402
from espnet_ext.experiments.build import LABELS, build_model, input_size  # noqa: E402
from espnet_ext.experiments.fidelity import CHOICES  # noqa: E402
from espnet_ext.experiments.resolve import resolve  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

EXPERIMENTS = (
    "start",
    "orig",
    "conformer_ln_pre10_d384_h6_blstmf2_fix245_wdro_specaugweia_attdrop01_posdrop01"
    "_aux48ff_mhsapinit05_lsxx01",
)
BATCH, FRAMES, TOKENS = 8, 1000, 30


def configuration(name: str, choice: str) -> Mapping[str, Any]:
    """Of an experiment with all of the original's peculiarities, or none."""
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / f"{choice}.yaml"
        overlay.write_text(f"base: {name}\nfidelity: {choice}\n", encoding="utf-8")
        return resolve(str(overlay)).config


def build(name: str, choice: str):
    """The model of an experiment in its last growing stage, and its features."""
    import torch

    config = configuration(name, choice)
    torch.manual_seed(1)
    model, _ = build_model(config)
    model.set_epoch(10_000)
    return model.train(), input_size(config)


def step_s(model, features: int) -> float:
    """Seconds of one step."""
    import torch

    torch.manual_seed(2)
    batch = {
        "speech": torch.randn(BATCH, FRAMES, features),
        "speech_lengths": torch.full((BATCH,), FRAMES),
        "text": torch.randint(1, LABELS, (BATCH, TOKENS)),
        "text_lengths": torch.full((BATCH,), TOKENS),
    }
    model.zero_grad(set_to_none=True)
    start = time.perf_counter()
    model(**batch)[0].sum().backward()
    return time.perf_counter() - start


def measure(name: str, repeats: int) -> Dict[str, Any]:
    """Medians of both, the steps taken in turn, and what the original's costs."""
    built = {choice: build(name, choice) for choice in CHOICES}
    for model in built.values():
        step_s(*model)
    rounds = [{c: step_s(*model) for c, model in built.items()} for _ in range(repeats)]
    row: Dict[str, Any] = {"experiment": name}
    for choice in CHOICES:
        row[f"{choice}_s"] = round(statistics.median(r[choice] for r in rounds), 3)
    ratios = [r["original"] / r["corrected"] for r in rounds]
    row["original_to_corrected"] = round(statistics.median(ratios), 3)
    row["all_ratios"] = [round(ratio, 3) for ratio in ratios]
    return row


def benchmark(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    import torch

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    rows: List[Dict[str, Any]] = []
    for name in args.experiments.split() or EXPERIMENTS:
        rows.append(measure(name, args.repeats))
        print(json.dumps(rows[-1]), flush=True)
    settings = {
        **environment(),
        "machine": hardware(),
        "threads": args.threads,
        "batch": f"{BATCH} utterances of {FRAMES} frames, {TOKENS} labels each",
        "repeats": f"median of {args.repeats} after 1, steps in turn",
        "denormals": "flushed",
    }
    with atomic_write(args.json) as file:
        json.dump({"settings": settings, "rows": rows}, file, indent=1)
        file.write("\n")
    print(f"written to {args.json}")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each")
    parser.add_argument("--experiments", default="", help="names, instead of the three")
    args = parser.parse_args(cmd)
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
