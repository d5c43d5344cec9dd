"""The pipeline rna2020 at the demo's size, against full-sum training for as long.

    python benchmarks/rna2020_demo.py --json FILE

Both begin with the trained model of the demo. One aligns with it, trains the extended
transducer framewise from scratch and trains it once more; the other goes on with the
full sum for the same CPU time: learning rate from the warm-up on, a schedule of that
length, no epochs of CTC alone. Both are decoded and scored alike, after every stage.

Times are CPU seconds of the trainings and of the alignment, with the start of each
process, so that other work on the machine does not count. What is finished is not done
again unless a setting has changed; after Ctrl-C the same command continues.
"""

import argparse
import contextlib
import dataclasses
import json
import resource
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from benchmarks import systems  # noqa: E402
from benchmarks.demo_vs_stock import (  # noqa: E402
    NOTE,
    SMOKE,
    equal_time,
    in_recipe,
    result_rows,
    table,
)
from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    file_hash,
    hardware,
)
from espnet_ext.errors import run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402
from espnet_ext.recipe.cli import run_recipe  # noqa: E402
from espnet_ext.recipe.parse import parse  # noqa: E402
from espnet_ext.recipe.pipelines.plan import make_plan  # noqa: E402
from espnet_ext.recipe.pipelines.reading import load_pipeline  # noqa: E402

PIPELINE = "rna2020_demo"
FIRST, CONTINUED = "fullsum", "continued"
ITERATIONS = 340  # updates of an epoch, as in conf/train_demo.yaml
SMOKE_TRAINING = "--max_epoch 1 --num_iters_per_epoch 2 --batch_bins 100000"


class CpuTimes:
    """CPU seconds of the children of this process, by name, kept in a file.

    Args:
        file: JSON; times of earlier runs of this command are in it.
    """

    def __init__(self, file: Path):
        self.file = file
        self.seconds: Dict[str, float] = {}
        if file.is_file():
            self.seconds = json.loads(file.read_text(encoding="utf-8"))

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add what the block takes, also if it is interrupted."""
        before = _children_s()
        try:
            yield
        finally:
            total = self.seconds.get(name, 0.0) + _children_s() - before
            self.seconds[name] = round(total, 1)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.file) as target:
                json.dump(self.seconds, target, indent=1)
                target.write("\n")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores to use")
    parser.add_argument(
        "--recipe",
        type=Path,
        default=REPOSITORY / "egs2" / "swbd_repro",
        help="recipe folder; its data and its model are used, or made if missing",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="two minutes of speech, a few updates"
    )
    return parser


def continuation(plan: Dict[str, int]) -> Dict[str, Any]:
    """A stage that goes on with the full sum.

    Args:
        plan: As ``equal_time`` gives it.
    """
    return {
        "config": "conf/train_demo.yaml",
        "init": FIRST,
        "set": {
            "max_epoch": plan["epochs"],
            "num_iters_per_epoch": plan["iterations"],
            "scheduler_conf": {"max_steps": plan["updates"]},
            "model_conf": {"transducer_start_epoch": 1},
            "specaug_conf": {"start_batch": 0},
        },
    }


def write_pipeline(path: Path, name: str, stage: Dict[str, Any]) -> Path:
    """A pipeline of the demo's model and one stage on it."""
    document = {"stages": {FIRST: {}, name: stage}}
    with atomic_write(path) as file:
        yaml.safe_dump(document, file, sort_keys=False)
    return path


class Comparison:
    """Runs stages of pipelines, and collects figures.

    Args:
        words: Options of the recipe.
        cpu: Takes the times.
    """

    def __init__(self, words: List[str], cpu: CpuTimes):
        self.words = words
        self.cpu = cpu
        self.rows: List[Dict[str, Any]] = []
        self.stages: List[Dict[str, Any]] = []

    def run(self, pipeline: str, name: str, timed_as: str = "") -> None:
        """Train or align, unless it is done; its time is added under a name."""
        chosen = ["--pipeline", pipeline, "--pipeline_stages", name]
        options = parse([*self.words, *chosen, "--stage", "11", "--stop_stage", "11"])
        with self.cpu.of(timed_as or name):
            run_recipe(options)

    def score(self, pipeline: str) -> None:
        """Decode and score its models that have not been; remember their rows."""
        plan = make_plan(parse(self.words), load_pipeline(pipeline), [11, 12])
        for planned in plan:
            name, context = planned.stage.name, planned.context
            if any(stage["stage"] == name for stage in self.stages):
                continue
            seconds = self.cpu.seconds[name]
            self.stages.append({"stage": name, "cpu_s": seconds})
            if not planned.stage.trains:
                continue
            training = systems.read_training(context.layout.asr_exp / "train.log")
            training = dataclasses.replace(training, seconds=seconds)
            self.stages[-1].update(
                epochs=training.epochs,
                updates=training.updates,
                parameters=training.parameters,
                config=file_hash(context.options.asr_config),
            )
            scores = systems.decode_and_score(
                context,
                NOTE,
                command="benchmarks/rna2020_demo.py",
                label=f"{Path(pipeline).stem} {name}",
            )
            search = Path(context.options.inference_config).stem
            rtf = systems.decode_rtf(context)
            self.rows += result_rows(name, search, training, scores, rtf)


def seconds_per_epoch(found: Comparison, base: Path, iterations: int) -> float:
    """CPU time of an epoch of the continued training.

    Three epochs are trained in two parts; the start of the process is in both, so that
    their difference is that of one epoch.
    """
    steps = {"epochs": 1, "iterations": iterations, "updates": 3 * iterations}
    for epochs, part in ((1, "pilot of 1 epoch"), (3, "pilot of 2 epochs")):
        stage = continuation({**steps, "epochs": epochs})
        file = write_pipeline(base / "demo_pilot.yaml", "pilot", stage)
        found.run(str(file), "pilot", timed_as=part)
    return (
        found.cpu.seconds["pilot of 2 epochs"] - found.cpu.seconds["pilot of 1 epoch"]
    )


def compare(args: argparse.Namespace) -> Comparison:
    """Run all; the working directory is the recipe folder."""
    words = systems.recipe_settings(Path("run.sh"), args.threads)
    if args.smoke:
        words += [*SMOKE, "--asr_args", SMOKE_TRAINING]
    options = parse(words)
    base = Path(options.expdir) / f"rna2020_demo{'_smoke' if args.smoke else ''}"
    found = Comparison(words, CpuTimes(base / "cpu_seconds.json"))
    for first, last in ((1, 5), (10, 10)):
        run_recipe(parse([*words, "--stage", str(first), "--stop_stage", str(last)]))
    names = [stage.name for stage in load_pipeline(PIPELINE).stages]
    for name in names:
        found.run(PIPELINE, name)
    found.score(PIPELINE)

    target_s = sum(found.cpu.seconds[name] for name in names if name != FIRST)
    iterations = 2 if args.smoke else ITERATIONS
    epoch_s = seconds_per_epoch(found, base, iterations)
    pilot = systems.Training(1, 1, iterations, max(epoch_s, 0.1))
    plan = equal_time(target_s, pilot, iterations)
    if args.smoke:
        plan = {"epochs": 1, "iterations": 2, "updates": 2}
    file = write_pipeline(base / "demo.yaml", CONTINUED, continuation(plan))
    found.run(str(file), CONTINUED)
    found.score(str(file))
    return found


def benchmark(args: argparse.Namespace) -> int:
    """Run the comparison; print the table and write the JSON."""
    target = args.json.resolve()
    with in_recipe(args.recipe.resolve(), args.threads):
        found = compare(args)
        settings = {
            **environment(),
            "machine": hardware(),
            "threads": args.threads,
            "data": NOTE,
            "training_s": "CPU seconds with the start of the processes",
            "pilot_s": {k: v for k, v in found.cpu.seconds.items() if "pilot" in k},
            "stages": found.stages,
            "smoke": args.smoke,
        }
        result = {"settings": settings, "rows": found.rows}
        with atomic_write(target) as file:
            json.dump(result, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
    for stage in found.stages:
        print(", ".join(f"{key} {value}" for key, value in stage.items()))
    print(table(found.rows))
    print(f"written to {args.json}")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
