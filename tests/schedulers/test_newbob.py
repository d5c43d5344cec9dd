"""``newbob`` against recorded rates, an implementation of its own, and by hand."""

import csv
import dataclasses
import random

import numpy as np
import pytest
import torch

from espnet_ext.errors import OptionError
from espnet_ext.interop.parity_newbob import replay
from espnet_ext.schedulers.newbob import Newbob
from espnet_ext.schedulers.rates import (
    NewbobOptions,
    SubEpochScore,
    expand,
    newbob,
)
from tests.shared import shared_file

OPTIONS = {
    "pre10": {
        "default_lr": 5e-4,
        "min_lr": 2e-5,
        "decay": 0.9,
        "lr_segments": [[1e-7, 1e-3, 10]] * 3 + [[1e-7, 1e-3, 30]],
    },
    "start": {
        "default_lr": 1e-3,
        "min_lr": 2e-5,
        "decay": 0.7,
        "min_epochs_per_lr": 3,
        "lr_segments": [[1e-4, 1e-3, 10]],
    },
}


def test_the_250_recorded_rates_of_2020_follow_from_its_scores():
    with open(shared_file("reference/orig_dev_scores.tsv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    recorded = np.array([float(row["learning_rate"]) for row in rows])
    assert len(recorded) == 250
    preset = [[1e-4, 1e-3, 10], [1e-3, 1e-3, 20]]
    options = {**OPTIONS["start"], "lr_segments": preset}
    ours = replay(options, [float(row["dev_score"]) for row in rows])
    np.testing.assert_allclose(ours, recorded, rtol=1e-6)


def test_every_stored_curve_is_replayed():
    arrays = np.load(shared_file("reference/parity/newbob.npz"))
    names = [name for name in arrays.files if name.startswith("lr:")]
    assert len(names) == 12
    for name in names:
        _, options, window, curve = name.split(":")
        changed = {**OPTIONS[options], "window_epochs": int(window[1:])}
        ours = replay(changed, arrays[f"dev_score:{curve}"])
        np.testing.assert_allclose(ours, arrays[name], rtol=1e-6, err_msg=name)


def as_the_document_says(history, o):
    """reference/training.md 2, point by point, in numpy."""
    lrs = np.array([lr for lr, _, _ in history])
    k = o["min_epochs_per_lr"]
    if k > 1 and (len(lrs) < k or np.ptp(lrs[-k:]) != 0):
        return lrs[-1]
    last = history[-(o["window_epochs"] + 1) :]
    values = []
    for (_, a, key_a), (lr, b, key_b) in zip(last[:-1], last[1:]):
        if a is None or b is None or key_a != key_b:
            return lrs[-1]
        divisor = a if o["error_divided_by"] == "old_score" else b
        values.append((b - a) / abs(divisor) / (lr / o["default_lr"]))
    if not values:
        return lrs[-1]
    if np.mean(values) > o["relative_error_threshold"]:
        return max(lrs[-1] * o["decay"], o["min_lr"])
    if np.mean(values) < o["relative_error_growth_threshold"]:
        return lrs[-1] * o["growth"]
    return lrs[-1]


@pytest.mark.parametrize("seed", range(40))
def test_it_does_what_the_document_says_with_any_options(seed):
    rng = random.Random(seed)
    options = {
        "default_lr": 1e-3,
        "min_lr": rng.choice([0.0, 4e-4]),
        "decay": rng.choice([0.7, 0.9]),
        "growth": rng.choice([1.0, 1.2]),
        "relative_error_threshold": rng.choice([-0.01, 0.0]),
        "relative_error_growth_threshold": rng.choice([-0.1, -0.01]),
        "min_epochs_per_lr": rng.choice([1, 3]),
        "window_epochs": rng.choice([1, 5, 6]),
        "error_divided_by": rng.choice(["new_score", "old_score"]),
    }
    key_change, score, history = rng.randint(5, 40), 80.0, []
    lr = 1e-3
    for epoch in range(40):
        score *= rng.uniform(0.9, 1.05)
        missing = rng.random() < 0.03
        key = "ctc" if epoch < key_change else "full_sum"
        history.append((lr, None if missing else score, key))
        expected = as_the_document_says(history, options)
        entries = [SubEpochScore(*entry) for entry in history]
        lr = newbob(entries, NewbobOptions(**options))
        assert lr == pytest.approx(expected, rel=1e-12)


def entries(scores, lr=1e-3, keys=None):
    keys = keys or ["loss"] * len(scores)
    return [SubEpochScore(lr, score, key) for score, key in zip(scores, keys)]


def test_the_old_score_divides_only_on_request():
    """2 % better by the new score, 1.96 % by the old one: a threshold in between."""
    options = NewbobOptions(1e-3, relative_error_threshold=-0.0198)
    history = entries([1.02, 1.0])
    assert newbob(history, options) == 1e-3
    old = dataclasses.replace(options, error_divided_by="old_score")
    assert newbob(history, old) == pytest.approx(9e-4)


def test_a_small_rate_makes_a_change_of_the_score_larger():
    options = NewbobOptions(1e-3, relative_error_threshold=-0.01)
    history = [SubEpochScore(1e-3, 10.0), SubEpochScore(1e-4, 9.98)]
    assert newbob(history, options) == 1e-4  # -0.2 % counts as -2 %


def test_the_lowest_rate_holds_for_decay_alone():
    options = NewbobOptions(1e-3, min_lr=5e-4, growth=1.5, decay=0.5)
    assert newbob(entries([1.0, 1.1], lr=6e-4), options) == 5e-4
    assert newbob(entries([1.0, 0.5], lr=1e-4), options) == pytest.approx(1.5e-4)
    assert newbob(entries([1.0, 1.1], lr=1e-4), options) == 5e-4


def test_a_change_of_the_score_s_key_delays_the_control():
    options = NewbobOptions(1e-3, window_epochs=2)
    worse = entries([1.0, 2.0, 3.0], keys=["ctc", "full_sum", "full_sum"])
    assert newbob(worse, options) == 1e-3
    assert newbob(worse[1:], options) == pytest.approx(9e-4)


def scheduler(**options):
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    return Newbob(optimizer, **options), optimizer


def test_a_restored_scheduler_goes_on_as_if_never_stopped():
    rng = np.random.default_rng(0)
    scores = 50 * np.exp(-np.arange(60) / 30) + rng.normal(0, 1, 60)
    expected = replay(OPTIONS["start"], scores)
    for stop in (0, 3, 25, 59):
        first, optimizer = scheduler(**OPTIONS["start"])
        for score in scores[:stop]:
            first.step(score)
        second, optimizer = scheduler(**OPTIONS["start"])
        second.load_state_dict(first.state_dict())
        rates = []
        for score in scores[stop:]:
            rates.append(optimizer.param_groups[0]["lr"])
            second.step(score)
        assert rates == expected[stop:].tolist()


def test_without_presets_the_default_comes_first():
    _, optimizer = scheduler(default_lr=2e-3)
    assert optimizer.param_groups[0]["lr"] == 2e-3
    _, optimizer = scheduler()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_segments_include_both_ends_as_linspace_does():
    segments = [(1e-7, 1e-3, 10), (1e-3, 1e-4, 45), (3.0, 5.0, 1), (2.0, 2.0, 3)]
    expected = np.concatenate(
        [np.linspace(1e-7, 1e-3, 10), np.linspace(1e-3, 1e-4, 45), [5.0], [2.0] * 3]
    )
    np.testing.assert_allclose(expand(segments), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"decay": 1.1},
        {"growth": 0.9},
        {"window_epochs": 0},
        {"min_epochs_per_lr": 0},
        {"error_divided_by": "both"},
        {"lr_segments": [[1e-4, 1e-3]]},
        {"lr_segments": [[1e-4, 1e-3, 0]]},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(OptionError):
        scheduler(**options)
