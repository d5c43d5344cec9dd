"""Alignment of a prepared training set with a trained model, against training on it.

``benchmarks/align.py --exp EXP --data_dir DIR`` runs this. The training pass is the
recipe's own trainer in a process of its own: the configuration of the experiment from
its trained weights, all losses, augmentation and updates from the first batch on, its
loading; not its start and not the validation. Alignment is what the recipe's stage
does: as many jobs as threads, one thread each, side by side; the slowest one counts;
their start does not.
"""

# Everything that is measured in another process is importable from here, because the
# processes are spawned: torch's threads do not survive a fork.
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))

from benchmarks.align_floor import reading_seconds  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

WEIGHTS = "valid.loss.ave.pth"
NOT_OPTIONS = ("required", "version", "distributed")  # of a stored configuration
SOME = 10  # every tenth utterance, for the sizes of batches
CASES = (
    ("transducer", "exact", "float32"),
    ("transducer", "exact", "bfloat16"),
    ("transducer", "sum_alpha", "float32"),
    ("ctc", "exact", "float32"),
    ("ctc", "exact", "bfloat16"),
)


Paths = Dict[str, Any]  # symbols of each utterance


class Trained(NamedTuple):
    """Where everything is.

    Attributes:
        recipe: Folder that relative paths of the configuration start from.
        exp: Folder of the experiment.
        data_dir: With wav.scp and text.
    """

    recipe: Path
    exp: Path
    data_dir: Path

    @classmethod
    def of(cls, exp: Path, data_dir: Path) -> "Trained":
        """From the folders that a user names; the recipe is above ``exp/NAME``."""
        exp = exp.resolve()
        return cls(exp.parents[1], exp, data_dir.resolve())


class Task(NamedTuple):
    """One job's share of an alignment: utterances ``first``, ``first + step``, ..."""

    output: str
    method: str
    dtype: str
    first: int
    step: int
    batch_samples: int


def training_seconds(
    trained: Trained, threads: int, iterations: Optional[int]
) -> Dict[str, float]:
    """Seconds of a pass of the trainer over all batches.

    ``iterations``: so many of the batches, shuffled, are trained and the time is scaled
    to all of them; None for all.
    """
    import yaml

    config = yaml.safe_load((trained.exp / "config.yaml").read_text())
    for key in NOT_OPTIONS:
        config.pop(key, None)
    config["model_conf"]["transducer_start_epoch"] = 1
    if "start_batch" in (config.get("specaug_conf") or {}):
        config["specaug_conf"]["start_batch"] = 0
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    environment["MKL_NUM_THREADS"] = str(threads)
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as folder:
        config.update(max_epoch=1, num_iters_per_epoch=iterations, output_dir=folder)
        config.update(init_param=[str(trained.exp / WEIGHTS)], resume=False)
        with atomic_write(Path(folder) / "given.yaml") as file:
            yaml.safe_dump(config, file)
        command = [sys.executable, "-m", "espnet_ext.bin.asr_train"]
        command += ["--config", str(Path(folder) / "given.yaml")]
        done = subprocess.run(
            command, cwd=trained.recipe, env=environment, capture_output=True, text=True
        )
    log = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"the trainer failed: {log[-2000:]}")
    return read_log(log, iterations)


def read_log(log: str, iterations: Optional[int]) -> Dict[str, float]:
    """Batches, trained batches and seconds of a pass, of the log of one epoch."""
    batches = int(re.search(r"\[train\] Batch sampler: .*N-batch=(\d+)", log)[1])
    text = re.search(r"1epoch results: \[train\].*?time=(.*?), \[valid\]", log)[1]
    units = {"hour": 3600.0, "minute": 60.0, "second": 1.0}
    parts = re.findall(r"([\d.]+) (hour|minute|second)", text)
    seconds = sum(float(number) * units[unit] for number, unit in parts)
    trained = min(iterations or batches, batches)
    return {
        "seconds": seconds * batches / trained,
        "measured_seconds": seconds,
        "measured_batches": trained,
        "batches": batches,
    }


_state: Dict[str, Any] = {}


def _begin(trained: Trained, barrier) -> None:
    """Start of a job."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    os.chdir(trained.recipe)
    _state.update(trained=trained, barrier=barrier, loaded={})


def _load(trained: Trained, output: str):
    from espnet_ext.alignment.model_files import load_model, open_data

    if output not in _state["loaded"]:
        files = trained.exp / "config.yaml", trained.exp / WEIGHTS
        loaded = load_model(*files, output)
        scp, text = trained.data_dir / "wav.scp", trained.data_dir / "text"
        sources = [(str(scp), "speech", "sound"), (str(text), "text", "text")]
        _state["loaded"][output] = loaded, *open_data(loaded.config, sources)
    return _state["loaded"][output]


def align_share(task: Task) -> Tuple[Dict[str, float], Paths]:
    """Seconds by part, samples, and peak memory of one job; and its alignments."""
    from benchmarks.align import status_kb
    from espnet_ext.alignment.exchange import export
    from espnet_ext.alignment.model_files import describe
    from espnet_ext.alignment.run import WRITING, Aligner, align_all, spent
    from espnet_ext.alignment.store import FILE, write_set

    trained = _state["trained"]
    loaded, ids, load = _load(trained, task.output)
    info = describe(loaded, trained.exp / WEIGHTS, task.method, dtype=task.dtype)
    seconds: Dict[str, float] = {}
    samples = 0

    def counted(key: str):
        nonlocal samples
        data = load(key)
        samples += len(data["speech"])
        return data

    Path("/proc/self/clear_refs").write_text("5")  # the peak is forgotten (Linux)
    _state["barrier"].wait()
    start = time.perf_counter()
    aligner = Aligner(loaded.output, info, seconds=seconds)
    shard = ids[task.first :: task.step]
    made = align_all(aligner, shard, counted, task.batch_samples)
    with tempfile.TemporaryDirectory() as folder:
        with spent(seconds, WRITING):
            write_set(made, Path(folder) / FILE)
        total = time.perf_counter() - start
        with spent(seconds, "export as kaldi and ctm"):
            export(made, Path(folder), ["kaldi", "ctm"])
    row = {
        "seconds": total,
        **{f"seconds_{part}": value for part, value in seconds.items()},
        "utterances": len(shard),
        "failed": len(made.failed),
        "samples": samples,
        "peak_mb": status_kb("VmHWM") / 1024,
    }
    return row, {key: entry.symbols for key, entry in made.aligned.items()}


def agreement(paths: Paths, reference: Paths) -> Dict[str, float]:
    """Shares of frames with the same symbol, and of utterances with the same path."""
    same = [paths[key] == reference[key] for key in reference if key in paths]
    return {
        "same_frames": sum(int(x.sum()) for x in same) / sum(len(x) for x in same),
        "same_paths": sum(bool(x.all()) for x in same) / len(reference),
    }


def aligned(pool, jobs: int, task: Task) -> Tuple[Dict[str, float], Paths]:
    """One row: times of the slowest job, sums of the rest; and all alignments."""
    step = task.step * jobs
    tasks = [task._replace(first=n * task.step, step=step) for n in range(jobs)]
    results = list(pool.map(align_share, tasks))
    done = [row for row, _ in results]
    slowest = max(done, key=lambda row: row["seconds"])
    totals = ("utterances", "failed", "samples")
    paths = {key: path for _, part in results for key, path in part.items()}
    return {**slowest, **{key: sum(row[key] for row in done) for key in totals}}, paths


def measure_trained(
    trained: Trained,
    threads: int,
    iterations: Optional[int],
    sizes: Sequence[int],
    repeats: int,
) -> List[Dict[str, Any]]:
    """All rows of the real training set; only a tenth of it is aligned repeatedly."""
    from espnet_ext.alignment.run import BATCH_SAMPLES

    training = training_seconds(trained, threads, iterations)
    rows: List[Dict[str, Any]] = [{"what": "real set: training pass", **training}]
    reading_s = reading_seconds(trained.data_dir, trained.recipe)
    rows.append({"what": "floor: reading, soundfile alone", "seconds": reading_s})
    context = multiprocessing.get_context("spawn")
    begin = trained, context.Barrier(threads)
    with ProcessPoolExecutor(threads, context, _begin, begin) as pool:

        def add(what: str, task: Task, times: int) -> Tuple[Dict[str, Any], Paths]:
            runs = [aligned(pool, threads, task) for _ in range(times)]
            best, paths = min(runs, key=lambda run: run[0]["seconds"])
            rows.append({"what": f"real set: {what}", **best})
            return rows[-1], paths

        aligned(pool, threads, Task(*CASES[0], 0, SOME, BATCH_SAMPLES))  # warms up
        for size in sizes:
            task = Task(*CASES[0], 0, SOME, size)
            add(f"a tenth, {size} samples a batch", task, repeats)
        exact: Dict[str, Paths] = {}  # in float32
        for case in CASES:
            task = Task(*case, 0, 1, BATCH_SAMPLES)
            row, paths = add(", ".join(case), task, 1)
            row.update(agreement(paths, exact.setdefault(task.output, paths)))
            row["faster"] = training["seconds"] / row["seconds"]
    return rows
