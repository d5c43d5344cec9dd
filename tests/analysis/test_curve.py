import datetime

import matplotlib.image
import pytest

from espnet_ext.analysis.curve import (
    experiment_history,
    parse_results,
    plot_training_curve,
    read_history,
)
from espnet_ext.errors import FormatError


def test_the_log_line_of_espnets_own_reporter_is_understood():
    """Written by the installed ESPnet, so that a new format is noticed."""
    reporter_module = pytest.importorskip("espnet2.train.reporter")
    reporter = reporter_module.Reporter()
    reporter.set_epoch(3)
    reporter.stats[3] = {
        "train": {
            "loss": 1234.5,
            "acc": 0.25,
            "time": datetime.timedelta(seconds=62),
            "total_count": 7,
        },
        "valid": {"loss": 0.0005, "cer": 0.5},
    }
    line = reporter.log_message()
    assert line.startswith("3epoch results: ")
    assert parse_results(line.split(": ", 1)[1]) == {
        "train/loss": float(f"{1234.5:.3e}"),  # as many digits as the reporter writes
        "train/acc": 0.25,
        "train/total_count": 7.0,
        "valid/loss": 0.0005,
        "valid/cer": 0.5,
    }


def test_a_history_spans_restarts_and_keeps_the_last_run_of_an_epoch(tmp_path):
    head = "[m] 2026 (trainer:365) INFO: "
    old = "".join(f"{head}{e}epoch results: [train] loss=9.0\n" for e in (1, 2, 3))
    (tmp_path / "train.1.log").write_text("noise\n" + old)
    (tmp_path / "train.log").write_text(
        f"{head}3epoch results: [train] loss=3.0, [valid] loss=nan, cer=0.5\n"
        f"{head}4epoch:train:1-10batch: loss=7.0\n"
    )
    history = experiment_history(tmp_path)
    assert list(history) == [1, 2, 3]
    assert history[3]["train/loss"] == 3.0
    assert read_history(tmp_path / "train.1.log")[3]["train/loss"] == 9.0


def test_the_curve_is_a_picture_with_two_panels_where_rates_were_logged(tmp_path):
    losses = {e: {"train/loss": 9 / e, "valid/loss": 8 / e} for e in (1, 2, 3)}
    plot_training_curve(losses, tmp_path / "one.png")
    for values in losses.values():
        values["valid/cer"] = 0.5
    plot_training_curve(losses, tmp_path / "two.png")
    one, two = (matplotlib.image.imread(tmp_path / f"{n}.png") for n in ("one", "two"))
    assert one.shape[1] == two.shape[1] and two.shape[0] > 1.5 * one.shape[0]
    assert (
        0.01 < (one[..., :3].min(axis=2) < 0.9).mean() < 0.5
    )  # neither blank nor full


def test_a_history_without_losses_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no loss"):
        plot_training_curve({1: {"train/acc": 1.0}}, tmp_path / "x.png")
    with pytest.raises(FormatError, match="no loss"):
        plot_training_curve({}, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
