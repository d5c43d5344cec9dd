"""A training under the original's regime, through the task as a user starts it."""

import json

import pytest
import torch

from espnet_ext.interop.parity_newbob import replay
from tests.train.tiny_training import (
    CONFIG,
    assert_same_result,
    checkpoint,
    train,
    words,
    write_config,
)

SCHEDULE = {
    "lr_segments": [[1e-3, 5e-3, 3]],
    "default_lr": 5e-3,
    "min_lr": 1e-5,
    "decay": 0.7,
    "relative_error_threshold": -0.5,  # decays unless the score halves
}
REGIME = {
    "optim": "nadam_tf",
    "optim_conf": {"lr": 5e-3, "gradient_noise_std": 0.01},
    "scheduler": "newbob",
    "scheduler_conf": SCHEDULE,
    "grad_clip": 1e9,
    "max_epoch": 6,
    "model_conf": {
        **CONFIG["model_conf"],
        "l2": {"encoder": 1e-3, "frontend": 1e-3, "prediction_network": 1e-3},
    },
    "encoder_conf": {
        **CONFIG["encoder_conf"],
        "num_layers": 3,
        "growth_start_layers": 2,
        "growth_epochs_per_layer": 3,
    },
    "regime_conf": {
        "reset_optimizer": "at_growth",
        "keep_last_checkpoints": 5,
        "rollback": {"last_scores": 3, "min_score_distance": 1.5},
    },
}


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("regime")
    config = write_config(folder / "config.yaml", **REGIME)
    command = words(tiny_data, folder / "exp", "--config", str(config))
    train(command, folder / "log")
    return command, folder


def steps(folder):
    lines = (folder / "exp" / "train_steps.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_rates_are_those_that_the_validation_scores_give(trained):
    _, folder = trained
    scores = checkpoint(folder / "exp")["reporter"]["stats"]
    values = [scores[epoch]["valid"]["loss_transducer"] for epoch in range(1, 7)]
    used = {line["epoch"]: line["optim0_lr0"] for line in steps(folder)}
    expected = replay(SCHEDULE, values)
    assert [used[epoch] for epoch in range(1, 7)] == pytest.approx(expected.tolist())
    assert expected[4] < expected[3] or expected[5] < expected[4]


def test_weight_decay_is_a_statistic_of_its_own(trained):
    _, folder = trained
    assert all(line["l2"] > 0.0 for line in steps(folder))
    by_hand = steps(folder)[0]
    assert by_hand["loss"] != by_hand["l2"]


def test_the_optimizer_counts_from_the_last_change_of_the_network(trained):
    """Three layers from sub-epoch 4 on: its updates alone are counted."""
    _, folder = trained
    content = checkpoint(folder / "exp")
    last = [line["update"] for line in steps(folder) if line["epoch"] == 3][-1]
    wanted = content["position"]["updates"] - last
    counts = {s["step"] for s in content["optimizers"][0]["state"].values()}
    assert counts == {wanted}


def test_an_interrupted_training_gives_the_same_bits(trained, tiny_data, tmp_path):
    command, folder = trained
    stopped = [c.replace(str(folder / "exp"), str(tmp_path / "exp")) for c in command]
    train([*stopped, "--max_epoch", "5"], tmp_path / "log")
    train(stopped, tmp_path / "log2")
    assert_same_result(folder / "exp", tmp_path / "exp")
    assert torch.load(tmp_path / "exp" / "6epoch.pth", weights_only=True)
