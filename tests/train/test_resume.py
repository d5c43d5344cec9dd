"""A training that was killed at any moment ends as if it had never been interrupted."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from espnet_ext.train.validation import StopRequested
from tests.train.tiny_training import (
    CONFIG,
    assert_same_result,
    checkpoint,
    start,
    train,
    words,
    write_config,
)

# saves inside of sub-epochs and, by the clock, in the middle of groups of batches
OFTEN = (
    *("--save_interval_updates", "2", "--save_interval_minutes", "0.0005"),
    *("--num_workers", "2", "--max_epoch", "4"),
)
SUMS = {
    "batch_schedule": [{"from_epoch": 1, "max_frames": 60, "accum_grad": 3}],
    "segment_order": "shuffled_sorted_in_chunks",
    "segments_per_chunk": 4,
    "sub_epochs_per_epoch": 2,
}


def kill_again_and_again(data: Path, folder: Path, moments, *options: str) -> int:
    """Train, killed at each moment (seconds since its beginning), then to the end.

    Returns the number of kills that hit the training.
    """
    hits = 0
    for number, moment in enumerate(moments):
        child = start(words(data, folder, *options), folder.parent / f"log{number}")
        time.sleep(moment)
        child.kill(signal.SIGKILL)
        hits += child.wait() == -signal.SIGKILL
    train(words(data, folder, *options), folder.parent / "log-end")
    return hits


def timed_reference(data: Path, folder: Path, *options: str) -> float:
    """Train without interruption; returns the seconds."""
    began = time.monotonic()
    train(words(data, folder, *options), folder.parent / "log-reference")
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("regime", [{}, SUMS], ids=["espnet", "sums"])
def test_resume_after_kill_at_random_moments_is_bit_identical(
    tiny_data, tmp_path, regime
):
    """Twenty killed trainings: ten of ESPnet's regime, ten with summed gradients.

    The weights have the same noise in all batches of an update.
    """
    noise = {"weight_noise_std": 0.05, "weight_noise_each": "update"}
    changes = {"encoder_conf": {**CONFIG["encoder_conf"], **noise}, "accum_grad": 2}
    config = write_config(tmp_path / "config.yaml", regime_conf=regime, **changes)
    options = ("--config", str(config), *OFTEN)
    seconds = timed_reference(tiny_data, tmp_path / "reference", *options)
    generator = random.Random(1)
    hits = 0
    for run in range(10):
        folder = tmp_path / f"run{run}" / "exp"
        folder.parent.mkdir()
        moment = generator.uniform(0.15, 0.9) * seconds
        hits += kill_again_and_again(tiny_data, folder, [moment], *options)
        assert_same_result(tmp_path / "reference", folder)
    assert hits >= 8, "most kills must hit a training at work"


def test_sigterm_saves_and_exits_with_its_own_status(tiny_data, tmp_path):
    train(words(tiny_data, tmp_path / "whole"), tmp_path / "log0")
    options = ("--save_interval_minutes", "none")
    folder = tmp_path / "stopped"
    child = start(words(tiny_data, folder, *options), tmp_path / "log1")
    steps = folder / "train_settings.json"
    while not steps.exists():
        time.sleep(0.005)
    time.sleep(0.15)
    child.kill(signal.SIGTERM)
    status = child.wait(30)
    if status != -signal.SIGTERM:  # it had begun to train
        assert status == 75, child.text()
        assert "stopped by SIGTERM" in child.text()
        assert checkpoint(folder)["position"]["batches"] > 0
    train(words(tiny_data, folder, *options), tmp_path / "log2")
    assert_same_result(tmp_path / "whole", folder)


def test_a_stop_while_validating_leaves_everything_as_it_was_before(
    tiny_data, tmp_path, monkeypatch
):
    """Validation may draw random numbers, and change buffers; a stop undoes both."""
    train(words(tiny_data, tmp_path / "whole"), tmp_path / "log0")

    def stopped(model, *unused, **options):
        torch.rand(3)
        model.specaug.seen_batches += 1
        raise StopRequested

    with monkeypatch.context() as patched:
        patched.setattr("espnet_ext.train.training.validate", stopped)
        text = train(words(tiny_data, tmp_path / "exp"), tmp_path / "log1", status=75)
    assert "in sub-epoch 1 after batch 4" in text
    train(words(tiny_data, tmp_path / "exp"), tmp_path / "log2")
    assert_same_result(tmp_path / "whole", tmp_path / "exp")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_saves_although_it_reaches_the_workers(
    tiny_data, tmp_path, number
):
    options = ("--max_epoch", "1000", "--num_workers", "2")
    folder = tmp_path / "exp"
    child = start(words(tiny_data, folder, *options), tmp_path / "log")
    while not (folder / "1epoch.pth").exists():
        time.sleep(0.005)
    os.killpg(child.pid, number)
    assert child.wait(30) == 75, child.text()
    assert checkpoint(folder)["position"]["batches"] >= 4


def test_the_step_log_has_one_line_a_batch_and_no_times(tiny_data, tmp_path):
    train(words(tiny_data, tmp_path / "exp", "--max_epoch", "2"), tmp_path / "log")
    text = (tmp_path / "exp" / "train_steps.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    places = [(line["epoch"], line["batch"]) for line in lines]
    assert places == [(e, b) for e in (1, 2) for b in (1, 2, 3, 4)]
    assert not any("time" in name for line in lines for name in line)


def test_a_finished_training_goes_on_when_max_epoch_grows(tiny_data, tmp_path):
    folder = tmp_path / "longer"
    for epochs in ("1", "3"):
        train(words(tiny_data, folder, "--max_epoch", epochs), tmp_path / epochs)
    train(words(tiny_data, tmp_path / "whole", "--max_epoch", "3"), tmp_path / "log")
    assert_same_result(tmp_path / "whole", folder)


def test_another_learning_rate_is_refused_by_name(tiny_data, tmp_path):
    folder = tmp_path / "exp"
    train(words(tiny_data, folder, "--max_epoch", "1"), tmp_path / "log")
    before = (folder / "config.yaml").read_bytes()
    text = train(
        words(tiny_data, folder, "--max_epoch", "2", "--optim_conf", "lr=0.02"),
        tmp_path / "log2",
        status=1,
    )
    assert "optim_conf.lr: 0.01 -> 0.02" in text and "max_epoch" in text
    assert (folder / "config.yaml").read_bytes() == before


def test_a_second_process_in_the_folder_is_refused(tiny_data, tmp_path):
    folder = tmp_path / "exp"
    child = start(words(tiny_data, folder, "--max_epoch", "50"), tmp_path / "first")
    while not (folder / "train_settings.json").exists():
        time.sleep(0.005)
    text = train(words(tiny_data, folder), tmp_path / "second", status=1)
    assert f"process {child.pid} on" in text and "trains here" in text
    child.kill(signal.SIGKILL)
    child.wait()
    # the lock file is still there, and locks nothing
    assert (folder / ".lock").exists()
    train(
        words(tiny_data, folder, "--max_epoch", "2", "--resume", "false"),
        tmp_path / "3",
    )
