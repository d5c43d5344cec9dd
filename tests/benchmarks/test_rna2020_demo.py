"""rna2020 at the demo's size: the parts, and the whole path on a little speech."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from benchmarks.rna2020_demo import ITERATIONS, CpuTimes, continuation, write_pipeline
from espnet_ext.recipe.pipelines.reading import load_pipeline
from tests.shared import REPOSITORY

SCRIPT = REPOSITORY / "benchmarks" / "rna2020_demo.py"
RECIPE = REPOSITORY / "egs2" / "swbd_repro"
DEMO = REPOSITORY / "conf" / "train_demo.yaml"
BUSY = (
    "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: 0"
)


def test_times_of_children_add_up_over_runs_and_waiting_does_not_count(tmp_path):
    file = tmp_path / "times.json"
    for _ in range(2):
        with CpuTimes(file).of("training"):
            subprocess.run([sys.executable, "-S", "-c", BUSY], check=True)
    assert 0.6 <= CpuTimes(file).seconds["training"] < 3.0
    with CpuTimes(file).of("nothing"):
        pass
    assert json.loads(file.read_text())["nothing"] < 0.1


def test_the_time_of_an_interrupted_training_counts(tmp_path):
    times = CpuTimes(tmp_path / "times.json")
    with pytest.raises(KeyboardInterrupt):
        with times.of("training"):
            subprocess.run([sys.executable, "-S", "-c", BUSY], check=True)
            raise KeyboardInterrupt
    assert CpuTimes(times.file).seconds["training"] >= 0.3


def test_full_sum_goes_on_with_a_schedule_of_its_own_length(tmp_path):
    plan = {"epochs": 7, "iterations": 330, "updates": 2310}
    file = write_pipeline(tmp_path / "demo.yaml", "continued", continuation(plan))
    first, second = load_pipeline(str(file)).stages
    assert first.trains and second.init == first.name
    assert second.changes["scheduler_conf"] == {"max_steps": 2310}
    assert second.changes["max_epoch"] * second.changes["num_iters_per_epoch"] == 2310
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    assert demo["num_iters_per_epoch"] == ITERATIONS
    assert demo["model_conf"]["transducer_start_epoch"] > 1  # what is not repeated
    assert second.changes["model_conf"] == {"transducer_start_epoch": 1}


def test_both_models_have_the_same_features_batches_and_encoder():
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    path = REPOSITORY / "conf" / "train_demo_extended.yaml"
    extended = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in (
        *("frontend_conf", "normalize_conf", "encoder", "encoder_conf", "optim_conf"),
        *("batch_type", "batch_bins", "num_iters_per_epoch", "grad_clip"),
    ):
        assert demo[key] == extended[key], key
    for config in (demo, extended):
        updates = config["max_epoch"] * config["num_iters_per_epoch"]
        assert config["scheduler_conf"]["max_steps"] == updates


@pytest.mark.slow
def test_the_whole_path_runs_and_nothing_of_it_twice(tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for name in ("run.sh", "path.sh", "cmd.sh", "db.sh"):
        shutil.copy2(RECIPE / name, recipe / name)
    for name in ("conf", "local"):
        shutil.copytree(REPOSITORY / name, recipe / name)
    target = tmp_path / "out.json"
    words = ["--smoke", "--threads", "1", "--recipe", str(recipe)]

    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *words, "--json", str(target)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    run()
    result = json.loads(target.read_text(encoding="utf-8"))
    whole = {row["system"]: row for row in result["rows"] if row["subset"] == "all"}
    assert list(whole) == ["fullsum", "extended", "retrain", "continued"]
    for row in whole.values():
        assert row["set"] == "hub5e_00" and row["updates"] == 2
        assert row["ci_low"] <= row["wer"] <= row["ci_high"]
    stages = {stage["stage"]: stage for stage in result["settings"]["stages"]}
    assert list(stages) == ["fullsum", "align", "extended", "retrain", "continued"]
    assert all(stage["cpu_s"] > 1 for stage in stages.values())
    assert "finished in" not in run()
    again = json.loads(target.read_text(encoding="utf-8"))
    assert again["rows"] == result["rows"]
