"""Values that are not finite never reach a weight, and are reported by utterance."""

import math

import numpy as np
import pytest
import torch

from espnet_ext.errors import NonFiniteError
from espnet_ext.train.nonfinite import BufferGuard, NonFiniteGuard, largest_norm
from tests.train.tiny_training import checkpoint, make_data, train, words, write_config

BATCH = [(["u1", "u2"], {"speech": torch.ones(2, 3)}, math.nan)]
LOSSES = [(["u1", "u2"], math.nan)]


@pytest.fixture(scope="module")
def bad_data(tmp_path_factory):
    """The second training utterance has an infinite feature, the last one is NaN."""
    folder = make_data(tmp_path_factory.mktemp("bad"))
    for number, value in ((1, np.inf), (13, np.nan)):
        features = np.load(folder / f"train{number}.npy")
        features[3, 2] = value
        np.save(folder / f"train{number}.npy", features)
    return folder


def all_finite(value) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return all(all_finite(item) for item in value)
    return True


@pytest.mark.parametrize("accum_grad", [1, 2])
def test_updates_of_bad_utterances_are_skipped_and_the_utterances_named(
    bad_data, tmp_path, accum_grad
):
    config = write_config(
        tmp_path / "config.yaml", specaug=None, accum_grad=accum_grad, max_epoch=2
    )
    options = ("--config", str(config), "--nonfinite_share", "1.0")
    text = train(words(bad_data, tmp_path / "exp", *options), tmp_path / "log")
    assert "train-001" in text and "not finite" in text
    state = checkpoint(tmp_path / "exp")
    assert all_finite(state["model"]) and all_finite(state["optimizers"])
    assert state["reporter"]["stats"][1]["train"]["skipped_updates"] > 0
    assert 0 < state["position"]["updates"] < state["position"]["batches"] / accum_grad


def test_too_many_in_a_sub_epoch_stop_with_status_3_and_store_the_batch(
    bad_data, tmp_path
):
    options = ("--nonfinite_share", "0.0")
    command = words(bad_data, tmp_path / "exp", *options)
    text = train(command, tmp_path / "log", status=3)
    stored = torch.load(tmp_path / "exp" / "nonfinite_batch.pth", weights_only=True)
    (batch,) = stored["batches"]
    bad = {"train-001", "train-013"}
    (name,) = bad & set(batch["ids"])
    row = batch["ids"].index(name)
    assert name in text
    assert not bool(batch["tensors"]["speech"][row].isfinite().all())
    assert torch.equal(
        batch["tensors"]["speech_lengths"],
        torch.tensor(
            [len(np.load(bad_data / f"train{int(i[-3:])}.npy")) for i in batch["ids"]]
        ),
    )


def test_ten_in_a_row_are_too_many(tmp_path):
    guard = NonFiniteGuard(10, 1.0, tmp_path)
    for _ in range(9):
        guard.bad(math.nan, BATCH, LOSSES, 1000)
    guard.good()
    for _ in range(9):
        guard.bad(math.nan, BATCH, LOSSES, 1000)
    with pytest.raises(NonFiniteError, match="10 updates in a row") as raised:
        guard.bad(math.nan, BATCH, LOSSES, 1000)
    assert raised.value.exit_status == 3 and "u1 u2" in str(raised.value)


def test_one_percent_of_a_sub_epoch_is_the_limit(tmp_path):
    guard = NonFiniteGuard(10, 0.01, tmp_path)
    for _ in range(10):
        guard.bad(math.inf, BATCH, LOSSES, 1000)
        guard.good()
    with pytest.raises(NonFiniteError, match="11 of 21 updates of this sub-epoch"):
        guard.bad(math.inf, BATCH, LOSSES, 1000)


def test_a_loss_that_is_finite_leaves_the_gradient_to_blame(tmp_path, caplog):
    guard = NonFiniteGuard(10, 1.0, tmp_path)
    guard.bad(math.inf, BATCH, [(["u3"], 1.0)], 1000)
    assert "gradient (norm inf) is not finite. Utterances: u3" in caplog.text


def test_running_statistics_do_not_keep_what_a_bad_batch_left():
    norm = torch.nn.BatchNorm1d(2)
    counter = torch.nn.Module()
    counter.register_buffer("seen", torch.tensor(0.0))
    model = torch.nn.ModuleList([norm, counter])
    guard = BufferGuard(model)
    norm(torch.randn(4, 2))
    guard.remember()
    before = norm.running_mean.clone()
    norm(torch.full((4, 2), math.nan))
    counter.seen += 1
    assert not bool(norm.running_mean.isfinite().any())
    guard.restore(only_nonfinite=True)
    assert torch.equal(norm.running_mean, before) and float(counter.seen) == 1
    guard.restore()
    assert float(counter.seen) == 0


def test_a_gradient_whose_square_overflows_is_not_used():
    """Adam squares it: an infinite second moment would freeze the weight for ever."""
    model = torch.nn.Linear(1, 1)
    limit = largest_norm(model)
    assert torch.isinf(torch.tensor(limit * 1.01) ** 2)
    assert torch.isfinite(torch.tensor(limit * 0.99) ** 2)
    assert largest_norm(model.double()) > 1e150


def test_a_validation_score_that_is_not_finite_ends_the_training(tmp_path):
    data = make_data(tmp_path)
    features = np.load(data / "valid1.npy")
    features[2, 2] = np.nan
    np.save(data / "valid1.npy", features)
    text = train(words(data, tmp_path / "exp"), tmp_path / "log", status=3)
    assert "validation loss of sub-epoch 1 is nan" in text
    config = write_config(
        tmp_path / "other.yaml", regime_conf={"stop_on_nonfinite_score": False}
    )
    options = ("--config", str(config), "--max_epoch", "1")
    train(words(data, tmp_path / "other", *options), tmp_path / "log2")
