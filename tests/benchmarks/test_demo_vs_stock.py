"""The comparison with ESPnet's own transducer, and its path on a little speech."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.demo_vs_stock import equal_time, main, stock_training_arguments, table
from benchmarks.systems import Training
from tests.shared import REPOSITORY

SCRIPT = REPOSITORY / "benchmarks" / "demo_vs_stock.py"
RECIPE = REPOSITORY / "egs2" / "swbd_repro"


@given(
    target_s=st.floats(1, 1e4),
    update_s=st.floats(0.01, 2),
    pilot_updates=st.integers(1, 200),
    iterations=st.integers(20, 200),
)
def test_the_planned_training_takes_the_wanted_time(
    target_s, update_s, pilot_updates, iterations
):
    pilot = Training(1, 1, pilot_updates, update_s * pilot_updates)
    plan = equal_time(target_s, pilot, iterations)
    assert plan["updates"] == plan["epochs"] * plan["iterations"]
    # the length of an epoch is rounded to a whole update
    slack = max(plan["epochs"] * update_s / 2, update_s)
    assert abs(plan["updates"] * update_s - target_s) <= slack * (1 + 1e-6)
    # and epochs stay about as long as wished for, unless the time is for less than one
    if target_s > iterations * update_s:
        assert iterations / 2 <= plan["iterations"] <= 1.5 * iterations + 1


def test_the_learning_rate_schedule_ends_with_the_training():
    plan = {"epochs": 7, "iterations": 30, "updates": 210}
    words = stock_training_arguments(plan, smoke=False).split()
    assert words[:4] == ["--max_epoch", "7", "--num_iters_per_epoch", "30"]
    assert words[4:] == ["--scheduler_conf", "max_steps=210"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--threads", "4096"], "4096 cores asked for"),
        (["--threads", "0"], "--threads"),
        (["--stock_searches", "greedy beam"], "unknown search beam"),
        (["--stock_searches", ""], "--stock_searches"),
        (["--train_seconds", "-3"], "must be positive"),
        (["--recipe", "nowhere"], "no recipe folder"),
    ],
)
def test_wrong_options_end_with_a_message(words, message, capsys, tmp_path):
    assert main(["--json", str(tmp_path / "out.json"), *words]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out.json").exists()


def row(**values):
    given = {
        **{"system": "ours", "search": "beam", "set": "rt03s", "subset": "all"},
        **{"parameters": 916480, "training_s": 300.4, "epochs": 3, "updates": 240},
        **{"wer": 12.34, "ci_low": 11.0, "ci_high": 13.5, "words": 99},
        "decode_rtf": 0.0123,
    }
    return {**given, **values}


def test_the_table_shows_sets_and_corpora_and_what_is_not_known():
    text = table(
        [
            row(),
            row(subset="swb", wer=None, ci_low=None, ci_high=None, decode_rtf=None),
            row(subset="Female"),
        ]
    )
    head, first, second = text.split("\n")
    assert head.split()[:3] == ["system", "search", "set"]
    assert "rt03s " in first and "0.916 M" in first and "11.0 to 13.5" in first
    assert "12.3" in first and "0.012" in first
    assert "rt03s.swb" in second and second.split()[-1] == "-"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """A copy of the recipe without its data."""
    folder = tmp_path_factory.mktemp("benchmark") / "recipe ü"
    folder.mkdir()
    for name in ("run.sh", "path.sh", "cmd.sh", "db.sh"):
        shutil.copy2(RECIPE / name, folder / name)
    for name in ("conf", "local"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def smoke(recipe: Path) -> subprocess.CompletedProcess:
    words = ["--smoke", "--threads", "1", "--stock_searches", "greedy"]
    target = recipe.parent / "out.json"
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words, "--recipe", str(recipe)]
        + ["--json", str(target)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
def test_the_whole_path_runs_and_nothing_of_it_twice(recipe):
    first = smoke(recipe)
    assert first.returncode == 0, first.stderr + first.stdout
    result = json.loads((recipe.parent / "out.json").read_text(encoding="utf-8"))
    systems = {row["system"]: row for row in result["rows"] if row["subset"] == "all"}
    assert set(systems) == {"ours", "stock"}
    for row_ in systems.values():
        assert row_["set"] == "hub5e_00" and row_["words"] > 100
        assert row_["updates"] >= 1 and row_["training_s"] > 0
        assert 0 <= row_["errors"] and row_["ci_low"] <= row_["wer"] <= row_["ci_high"]
    sizes = [row_["parameters"] for row_ in systems.values()]
    assert max(sizes) <= 1.25 * min(sizes)
    for name in ("machine", "threads", "Git hash", "date", "espnet version", "ours"):
        assert result["settings"][name], name
    work = recipe / "exp" / "demo_vs_stock_smoke"
    log = (work / "stock" / "train.log").read_text(encoding="utf-8")
    assert "ESPnetASRModel(" in log and "TransducerDecoder" in log

    began = time.monotonic()
    second = smoke(recipe)
    assert second.returncode == 0 and time.monotonic() - began < 30
    assert "finished in" not in second.stdout
    again = json.loads((recipe.parent / "out.json").read_text(encoding="utf-8"))
    assert again["rows"] == result["rows"]
