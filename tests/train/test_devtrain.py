"""Scores on a fixed part of the training set change nothing but what is shown."""

import argparse
import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from espnet_ext.errors import OptionError
from espnet_ext.tasks.asr import TransducerTask
from espnet_ext.train import devtrain
from espnet_ext.train.curve import draw_curve
from espnet_ext.train.validation import StopRequested, validate
from tests.train.tiny_training import (
    assert_same_result,
    checkpoint,
    differences,
    train,
    words,
    write_config,
)


def rows_of(folder: Path):
    with open(folder / "sub_epochs.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_part_is_fixed_whatever_else_is_in_the_set_and_in_any_order():
    ids = [f"utt{n}" for n in range(500)]
    found = devtrain.chosen(ids, 20)
    assert len(found) == 20 and found == devtrain.chosen(ids[::-1], 20)
    assert devtrain.chosen(ids, 10) < found  # fewer are a part of more
    rest = [name for name in ids if name not in found][:200]
    assert devtrain.chosen([*found, *rest], 20) == found
    assert max(int(name[3:]) for name in found) > 250  # not the first ones


def test_the_chosen_lengths_keep_their_lines_and_too_many_are_all(tmp_path):
    files = []
    for number in range(2):
        path = tmp_path / f"shape{number}"
        path.write_text("".join(f"utt{n} {n + number},2\n" for n in range(9)))
        files.append(str(path))
    for count, kept in ((4, 4), (50, 9)):
        written = devtrain.write_shapes(files, count, tmp_path / "devtrain")
        texts = [Path(file).read_text().splitlines() for file in written]
        for source, lines in zip(files, texts):
            assert len(lines) == kept
            assert set(lines) <= set(Path(source).read_text().splitlines())
        assert [x.split()[0] for x in texts[0]] == [x.split()[0] for x in texts[1]]


REGIME = {"segment_order": "shuffled_sorted_in_chunks", "segments_per_chunk": 4}


@pytest.mark.parametrize("regime", [{}, REGIME], ids=["espnet", "sub_epochs"])
def test_training_is_the_same_bits_with_and_without_it(tiny_data, tmp_path, regime):
    config = write_config(tmp_path / "config.yaml", regime_conf=regime)
    options = ("--config", str(config), "--max_epoch", "2")
    train(words(tiny_data, tmp_path / "without", *options), tmp_path / "log0")
    options = (*options, "--devtrain", "5")
    train(words(tiny_data, tmp_path / "with", *options), tmp_path / "log1")
    states = [checkpoint(tmp_path / name) for name in ("without", "with")]
    for state in states:
        for phases in state["reporter"]["stats"].values():
            phases.pop("devtrain", None)
    assert differences(*states) == []
    logs = [tmp_path / name / "train_steps.jsonl" for name in ("without", "with")]
    assert logs[0].read_bytes() == logs[1].read_bytes()


def test_scores_are_those_of_the_final_weights_on_the_chosen_utterances(
    tiny_data, tmp_path
):
    """Against the model evaluated here, on the same batches of three."""
    folder = tmp_path / "exp"
    text = train(words(tiny_data, folder, "--devtrain", "6"), tmp_path / "log")
    assert "Traceback" not in text
    args = argparse.Namespace(**yaml.safe_load((folder / "config.yaml").read_text()))
    model = TransducerTask.build_model(args).eval()
    model.load_state_dict(torch.load(folder / "3epoch.pth", weights_only=True))
    model.set_epoch(3)
    loader = TransducerTask.build_streaming_iterator(
        args.train_data_path_and_name_and_type,
        preprocess_fn=TransducerTask.build_preprocess_fn(args, train=False),
        collate_fn=TransducerTask.build_collate_fn(args, train=False),
        key_file=str(folder / "devtrain" / "shape0"),
        batch_size=3,
        dtype="float32",
    )
    losses = []
    with torch.no_grad():
        for ids, batch in loader:
            losses.append(float(model(**batch)[1]["loss"]))
            assert len(ids) == 3
    assert len(losses) == 2
    last = rows_of(folder)[-1]
    expected = sum(losses) / len(losses)
    assert float(last["devtrain.loss"]) == pytest.approx(expected, rel=1e-5)
    assert set(last) >= {"devtrain.loss_per_label", "devtrain.loss_transducer"}
    assert float(last["devtrain.loss"]) != float(last["valid.loss"])


def test_a_stop_while_scoring_it_leaves_everything_as_it_was_before(
    tiny_data, tmp_path, monkeypatch
):
    options = ("--devtrain", "5")
    train(words(tiny_data, tmp_path / "whole", *options), tmp_path / "log0")

    def stopped(model, batches, *rest, **options):
        validate(model, batches, *rest, **options)
        torch.rand(3)
        model.specaug.seen_batches += 1
        raise StopRequested

    with monkeypatch.context() as patched:
        patched.setattr("espnet_ext.train.training.validate", stopped)
        command = words(tiny_data, tmp_path / "exp", *options)
        text = train(command, tmp_path / "log1", status=75)
    assert "in sub-epoch 1 after batch 4" in text
    train(words(tiny_data, tmp_path / "exp", *options), tmp_path / "log2")
    assert_same_result(tmp_path / "whole", tmp_path / "exp")
    assert "devtrain" in checkpoint(tmp_path / "exp")["reporter"]["stats"][1]


def test_it_may_begin_later_but_then_cannot_choose_the_model(tiny_data, tmp_path):
    folder = tmp_path / "exp"
    train(words(tiny_data, folder, "--max_epoch", "1"), tmp_path / "log0")
    options = ("--max_epoch", "2", "--devtrain", "5")
    train(words(tiny_data, folder, *options), tmp_path / "log1")
    rows = rows_of(folder)
    assert rows[0]["devtrain.loss"] == "" and float(rows[1]["devtrain.loss"]) > 0
    criterion = [["devtrain", "loss", "min"]]
    config = write_config(tmp_path / "config.yaml", best_model_criterion=criterion)
    options = ("--config", str(config), "--devtrain", "5")
    text = train(words(tiny_data, folder, *options), tmp_path / "log2", status=1)
    assert "which sub-epoch 1 of this training has not" in text


def test_it_chooses_the_model_and_the_learning_rate_where_asked(tiny_data, tmp_path):
    config = write_config(
        tmp_path / "config.yaml",
        best_model_criterion=[["devtrain", "loss", "min"]],
        scheduler="reducelronplateau",
        scheduler_conf={"mode": "max", "patience": 0, "factor": 0.5},
        val_scheduler_criterion=["devtrain", "loss"],
    )
    folder = tmp_path / "exp"
    options = ("--config", str(config), "--devtrain", "5")
    train(words(tiny_data, folder, *options), tmp_path / "log")
    losses = [float(row["devtrain.loss"]) for row in rows_of(folder)]
    best = losses.index(min(losses)) + 1
    assert (folder / "devtrain.loss.best.pth").resolve().name == f"{best}epoch.pth"
    assert (folder / "devtrain.loss.ave.pth").exists()
    # it waits for a larger loss, so that every smaller one halves the rate
    assert losses[1] < losses[0]
    lines = (folder / "train_steps.jsonl").read_text().splitlines()
    assert {json.loads(x)["optim0_lr0"] for x in lines} == {0.01, 0.005}


@pytest.mark.parametrize(
    "changes",
    [
        {"best_model_criterion": [("devtrain", "loss", "min")]},
        {"early_stopping_criterion": ("devtrain", "loss", "min")},
        {"val_scheduler_criterion": ("devtrain", "loss")},
        {"devtrain": -1},
    ],
)
def test_a_criterion_of_a_score_that_is_not_computed_is_refused(changes):
    usual = {
        "devtrain": 0,
        "best_model_criterion": [("valid", "loss", "min")],
        "early_stopping_criterion": ("valid", "loss", "min"),
        "val_scheduler_criterion": ("valid", "loss"),
    }
    devtrain.check_options(argparse.Namespace(**usual))
    with pytest.raises(OptionError, match="devtrain"):
        devtrain.check_options(argparse.Namespace(**{**usual, **changes}))
    if "devtrain" not in changes:
        devtrain.check_options(
            argparse.Namespace(**{**usual, **changes, "devtrain": 9})
        )


def test_the_picture_has_a_third_line_only_where_there_is_one(tmp_path):
    def size(stats):
        return draw_curve(tmp_path, stats).stat().st_size

    stats = {
        n: {"train": {"loss": 9.0 / n}, "valid": {"loss": 8.0 / n}} for n in (1, 2)
    }
    without = size(stats)
    assert (
        size({n: {**s, "devtrain": {"loss": 7.0}} for n, s in stats.items()}) > without
    )
