"""What the user sees: the line, the table, the picture, TensorBoard, the bar."""

import math
import re

import pytest
import torch

from espnet_ext.progress import REPORT_VARIABLE, read_report
from espnet_ext.train.curve import REFERENCE, draw_curve, reference_scores
from espnet_ext.train.progress_line import ProgressLine, duration
from espnet_ext.train.summary import table, write_table
from espnet_ext.train.sums import Sums
from tests.shared import shared_file
from tests.train.tiny_training import train, words

STATS = {
    1: {
        "train": {"loss": 90.5, "loss_per_label": 6.0, "optim0_lr0": 1e-3},
        "valid": {"loss": 80.0},
    },
    2: {
        "train": {"loss": 70.25, "loss_per_label": 5.0, "optim0_lr0": 2e-3},
        "valid": {"loss": math.nan},
    },
}


def test_sums_are_weighted_means_without_what_is_not_finite():
    sums = Sums()
    sums.add({"loss": 2.0, "other": 1.0}, 3.0)
    sums.add({"loss": 6.0}, 1.0)
    sums.add({"loss": math.inf, "never": math.nan}, 5.0)
    assert sums.mean("loss") == 3.0 and sums.total("other") == 3.0
    assert math.isnan(sums.means()["never"]) and sums.mean("never") is None
    again = Sums()
    again.load_state_dict(sums.state_dict())
    again.add({"loss": 0.0}, 4.0)
    assert again.mean("loss") == 1.5 and sums.mean("loss") == 3.0


def test_the_line_has_everything_a_user_looks_for(monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 20.0])
    monkeypatch.setattr(
        "espnet_ext.train.progress_line.time.monotonic", lambda: next(clock)
    )
    line = ProgressLine(max_epoch=4, done=0.0, device=torch.device("cpu"))
    line.restart_window()
    window = Sums()
    window.add({"loss": 30.0, "loss_per_label": 2.5}, 4.0)
    window.add({"grad_norm": 1.5, "frames": 1000.0})
    text = line.text(2, 1, 10, 20, window, {"optim0_lr0": 5e-4})
    # 1.5 of 4 sub-epochs in 20 s: 33 s are left; 1000 frames in 10 s
    assert "2epoch:train:1-10batch" in text and "sub-epoch 2/4 50 %" in text
    assert "ETA 0:00:33" in text and "loss=30" in text and "loss_per_label=2.5" in text
    assert "optim0_lr0=5.000e-04" in text and "grad_norm=1.5" in text
    assert "100 frames/s" in text and re.search(r"\d\.\d\d GiB", text)
    assert duration(90061) == "1 day, 1:01:01"


def test_the_table_compares_with_the_sub_epoch_before():
    lines = table(2, STATS).splitlines()
    assert lines[0].split() == ["sub-epoch", "2", "train", "valid", "valid", "before"]
    assert lines[1].split() == ["loss", "70.25", "-", "80"]


def test_all_sub_epochs_are_in_a_file_for_machines(tmp_path):
    write_table(tmp_path, STATS)
    rows = (tmp_path / "sub_epochs.tsv").read_text().splitlines()
    assert rows[0].split("\t")[:3] == [
        "sub_epoch",
        "train.loss",
        "train.loss_per_label",
    ]
    assert rows[1].split("\t") == ["1", "90.5", "6.0", "0.001", "80.0"]
    assert rows[2].split("\t")[-1] == "nan"


def test_the_picture_is_drawn_with_and_without_the_originals_curve(tmp_path):
    sizes = []
    for name in (None, "orig", "start"):
        path = draw_curve(tmp_path, STATS, name)
        assert path.read_bytes().startswith(b"\x89PNG")
        sizes.append(path.stat().st_size)
    assert sizes[0] == sizes[2] != sizes[1]


def test_the_originals_scores_are_those_of_its_log():
    table_of_the_original = shared_file("reference/orig_dev_scores.tsv")
    rows = [r.split("\t")[:2] for r in table_of_the_original.read_text().splitlines()]
    ours = [r.split("\t") for r in REFERENCE.read_text().splitlines()]
    assert ours == rows and len(reference_scores("orig")) == 250
    assert reference_scores("start") == reference_scores(None) == []


def test_a_training_shows_all_of_it(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv(REPORT_VARIABLE, str(tmp_path / "progress"))
    options = ("--use_tensorboard", "true", "--use_matplotlib", "true")
    options += ("--log_interval", "2", "--log_level", "INFO", "--max_epoch", "2")
    folder = tmp_path / "exp"
    text = train(words(tiny_data, folder, *options), tmp_path / "log")
    assert len(re.findall(r"\depoch:train:\d-\dbatch, sub-epoch", text)) == 4
    assert "2epoch results: [train]" in text and "scores\nsub-epoch 2" in text
    assert "The training was finished at 2 epochs" in text
    report = read_report(tmp_path / "progress")
    assert report.total == 2 and 1.5 < report.done <= 2.0
    assert (folder / "training_curve.png").exists()
    assert (folder / "images" / "loss.png").exists()
    for phase in ("train", "valid"):
        assert list((folder / "tensorboard" / phase).iterdir())


@pytest.mark.parametrize("role", ["train", "valid"])
def test_the_recipe_still_finds_the_last_scores(tiny_data, tmp_path, role):
    from espnet_ext.recipe.stages.train import describe_training

    options = ("--log_level", "INFO", "--max_epoch", "1")
    train(words(tiny_data, tmp_path / "exp", *options), tmp_path / "log")
    facts = describe_training(tmp_path / "log")
    assert facts["epochs"] == "1" and "loss" in facts[f"last {role}"]
    assert "parameters" in facts
