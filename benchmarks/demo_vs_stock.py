"""Our demo model against a transducer of ESPnet's own parts, after equal training time.

    python benchmarks/demo_vs_stock.py --json FILE

Both systems get the same data, word pieces, SpecAugment, batches, CTC weight, threads
and the same wall time for training: ours is trained first, one epoch of the other then
tells how many updates fit into the same time, and its learning-rate schedule gets that
length. Both are decoded and scored alike. What is finished is not done again unless a
setting has changed; after Ctrl-C the same command continues.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from benchmarks import systems  # noqa: E402
from benchmarks.systems import Training  # noqa: E402
from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    file_hash,
    hardware,
    package_version,
)
from espnet_ext.analysis.scores import CORPUS_OF_PREFIX  # noqa: E402
from espnet_ext.analysis.tables import ALL, Row  # noqa: E402
from espnet_ext.errors import MissingInputError, OptionError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402
from espnet_ext.recipe.cli import run_recipe  # noqa: E402
from espnet_ext.recipe.parse import parse  # noqa: E402

CONFIGS = REPOSITORY / "benchmarks" / "conf"
SEARCHES = ("greedy", "tsd4", "default4")
SIZE_TOLERANCE = 0.2
SMOKE = shlex.split(
    "--size tiny --nbpe 50 --nj 1 --inference_nj 1 --test_sets hub5e_00"
)
SMOKE_TRAINING = shlex.split(
    "--max_epoch 2 --num_iters_per_epoch 2 --batch_bins 100000 "
    "--model_conf transducer_start_epoch=1"
)
BUSY = 0.5  # load average of a machine that does something else as well
SHOWN_SUBSETS = (ALL, *CORPUS_OF_PREFIX.values())
NOTE = "synthetic telephone-band speech: says nothing about real speech"


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(
        description="Compare the demo's model with a transducer of ESPnet's own parts "
        "that was trained for the same time on the same data."
    )
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores to use")
    parser.add_argument(
        "--train_seconds",
        type=float,
        help="training time of ESPnet's model (default: what ours took)",
    )
    parser.add_argument(
        "--stock_searches",
        default="greedy tsd4",
        help=f"ESPnet's searches to decode with, of: {', '.join(SEARCHES)}",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=REPOSITORY / "egs2" / "swbd_repro",
        help="recipe folder; its data is used, or made where it is missing",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="two minutes of speech, a few updates"
    )
    return parser


@contextlib.contextmanager
def in_recipe(folder: Path, threads: int):
    """Work in the recipe folder, with so many cores, and all children likewise.

    Raises:
        MissingInputError: There is no recipe in the folder.
        OptionError: The machine has fewer cores.
    """
    if not (folder / "run.sh").is_file():
        raise MissingInputError("no recipe folder", where=folder, expected="a run.sh")
    here, cores = Path.cwd(), os.sched_getaffinity(0)
    if not 1 <= threads <= len(cores):
        raise OptionError(
            f"{threads} cores asked for, {len(cores)} there",
            where="--threads",
            next_step=f"--threads {len(cores)}",
        )
    path = [str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    before = dict(os.environ)
    # what path.sh sets
    os.environ.update(
        PYTHONPATH=os.pathsep.join(filter(None, path)),
        PYTHONUTF8="1",
        LC_ALL="C.UTF-8",
    )
    os.chdir(folder)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def equal_time(target_s: float, pilot: Training, iterations: int) -> Dict[str, int]:
    """Epochs and updates per epoch that take about ``target_s``.

    Args:
        target_s: Wall time of the training.
        pilot: A training of one epoch.
        iterations: Updates per epoch that are wished for.
    """
    seconds_per_epoch = pilot.seconds * iterations / pilot.updates
    epochs = max(1, round(target_s / seconds_per_epoch))
    # whole epochs hit the time roughly, epochs of another length nearly exactly
    length = max(1, round(iterations * target_s / (epochs * seconds_per_epoch)))
    return {"epochs": epochs, "iterations": length, "updates": epochs * length}


def stock_training_arguments(plan: Dict[str, int], smoke: bool) -> str:
    """The plan as options of asr_train."""
    words = ["--max_epoch", str(plan["epochs"])]
    words += ["--num_iters_per_epoch", str(plan["iterations"])]
    words += ["--scheduler_conf", f"max_steps={plan['updates']}"]
    words += ["--batch_bins", "100000"] * smoke
    return shlex.join(words)


def result_rows(
    system: str,
    search: str,
    training: Training,
    scores: Sequence[systems.SetScore],
    rtf: Optional[float],
) -> List[Dict[str, Any]]:
    """One row for each set and each part of it."""
    rows = []
    for one in scores:
        metric = "WER" if one.hub5 is None else "hub5"
        chosen = [row for row in one.rows() if row.metric == metric]
        rows += [_result_row(system, search, training, row, rtf) for row in chosen]
    return rows


def _result_row(
    system: str, search: str, training: Training, row: Row, rtf: Optional[float]
) -> Dict[str, Any]:
    def number(value: float) -> Optional[float]:
        return None if math.isnan(value) else round(value, 2)  # JSON has no nan

    return {
        "system": system,
        "search": search,
        "set": row.set_name,
        "subset": row.subset,
        "metric": row.metric,
        "parameters": training.parameters,
        "training_s": round(training.seconds, 1),
        "epochs": training.epochs,
        "updates": training.updates,
        "wer": number(row.counts.error_rate),
        "ci_low": number(row.interval.low),
        "ci_high": number(row.interval.high),
        "ci_unit": row.interval.unit,
        "words": row.counts.words,
        "errors": row.counts.errors,
        "decode_rtf": rtf,
        "scorer": f"{row.scorer} {row.version}",
    }


def table(rows: Sequence[Dict[str, Any]]) -> str:
    """The rows for people: whole sets and their corpora."""
    head = ("system", "search", "set", "parameters", "training s", "epochs", "updates")
    lines = [(*head, "WER %", "95 % interval", "words", "RTF")]
    for row in rows:
        if row["subset"] not in SHOWN_SUBSETS:
            continue
        name = row["set"] + ("" if row["subset"] == ALL else f".{row['subset']}")
        low, high = row["ci_low"], row["ci_high"]
        interval = "-" if low is None else f"{low:.1f} to {high:.1f}"
        wer = "-" if row["wer"] is None else f"{row['wer']:.1f}"
        rtf = "-" if row["decode_rtf"] is None else f"{row['decode_rtf']:.3f}"
        size = f"{row['parameters'] / 1e6:.3f} M"
        lines.append(
            (
                *(row["system"], row["search"], name, size, f"{row['training_s']:.0f}"),
                *(str(row["epochs"]), str(row["updates"]), wer, interval),
                *(str(row["words"]), rtf),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def benchmark(args: argparse.Namespace) -> int:
    """Train, decode and score both systems; print the table and write the JSON."""
    searches = args.stock_searches.split()
    unknown = [name for name in searches if name not in SEARCHES]
    if unknown or not searches:
        raise OptionError(
            f"unknown search {' '.join(unknown) or '(none)'}",
            where="--stock_searches",
            expected=f"some of {', '.join(SEARCHES)}",
        )
    if args.train_seconds is not None and not args.train_seconds > 0:
        raise OptionError("must be positive", where="--train_seconds")
    target, machine = args.json.resolve(), hardware()
    with in_recipe(args.recipe.resolve(), args.threads):
        load = os.getloadavg()[0]
        if load > BUSY:
            print(
                f"notice: other work is going on here (load average {load:.1f}); equal "
                "times then do not mean equal numbers of operations",
                file=sys.stderr,
            )
        settings, rows = compare(args, searches)
        settings["machine"] = machine  # with all of its cores
        settings["load_average"] = {"start": load, "end": os.getloadavg()[0]}
        result = {"settings": settings, "rows": rows}
        with atomic_write(target) as file:
            json.dump(result, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
    for name, value in settings.items():
        print(f"{name}: {value}")
    print(table(rows))
    print(f"written to {args.json}")
    return 0


def compare(args: argparse.Namespace, searches: List[str]):
    """Settings and rows; the working directory is the recipe folder."""
    words = systems.recipe_settings(Path("run.sh"), args.threads)
    words += SMOKE if args.smoke else []
    kind = "smoke" if args.smoke else f"{args.threads}threads"
    base = Path(parse(words).expdir) / f"demo_vs_stock_{kind}"
    for first, last in ((1, 5), (10, 10)):
        run_recipe(parse([*words, "--stage", str(first), "--stop_stage", str(last)]))

    training = ["--asr_args", shlex.join(SMOKE_TRAINING)] if args.smoke else []
    mine = [*words, *training, "--asr_exp", str(base / "ours")]
    ours_context = systems.make_context(mine, stock=False)
    ours = systems.train(ours_context)
    target_s = args.train_seconds or ours.seconds

    own_config = Path(ours_context.options.asr_config)
    stock_config = base / "stock_transducer.yaml"
    parts = CONFIGS / "stock_transducer.yaml"
    merged = systems.write_stock_config(own_config, parts, stock_config)
    iterations = 2 if args.smoke else int(merged["num_iters_per_epoch"])

    def stock_context(name: str, plan: Dict[str, int], *more: str):
        return systems.make_context(
            [
                *(*words, "--asr_config", str(stock_config)),
                *("--asr_args", stock_training_arguments(plan, args.smoke)),
                *("--asr_exp", str(base / name), *more),
            ],
            stock=True,
        )

    one_epoch = {"epochs": 1, "iterations": iterations, "updates": iterations}
    pilot = systems.train(stock_context("stock_pilot", one_epoch))
    systems.check_sizes(ours, pilot, SIZE_TOLERANCE)
    plan = equal_time(target_s, pilot, iterations)
    stock = systems.train(stock_context("stock", plan))

    search = Path(ours_context.options.inference_config).stem
    scores = systems.decode_and_score(ours_context, NOTE)
    rtf = systems.decode_rtf(ours_context)
    rows = result_rows("ours", search, ours, scores, rtf)
    for name in searches:
        file = CONFIGS / f"decode_stock_{name}.yaml"
        context = stock_context("stock", plan, "--inference_config", str(file))
        scores = systems.decode_and_score(context, NOTE)
        rtf = systems.decode_rtf(context)
        rows += result_rows("stock", name, stock, scores, rtf)
    settings = {
        **environment(),
        "threads": args.threads,
        "torchaudio version": package_version("torchaudio"),
        "corpus": f"{ours_context.options.corpus} {ours_context.options.size}",
        "data": NOTE,
        "word pieces": ours_context.options.nbpe,
        "target_training_s": round(target_s, 1),
        "ours": dataclasses.asdict(ours),
        "stock": dataclasses.asdict(stock),
        "stock_pilot": dataclasses.asdict(pilot),
        "our config": f"{own_config} (sha256 {file_hash(own_config)})",
        "stock config": f"{parts.name} (sha256 {file_hash(stock_config)}, merged)",
        "stock loss": "torchaudio.functional.rnnt_loss in place of warprnnt_pytorch",
        "decode_rtf": "seconds of one core per second of speech, start-up left out",
        "smoke": args.smoke,
    }
    return settings, rows


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
