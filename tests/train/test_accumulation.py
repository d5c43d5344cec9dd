"""Which batches make an update, and that their gradients are summed."""

import pytest
import torch

from espnet_ext.train.accumulation import Accumulation, accumulation_of
from espnet_ext.train.position import Position
from espnet_ext.train.regime import parse_regime
from tests.train.test_processes import NO_DROPOUT
from tests.train.tiny_training import CONFIG, checkpoint, train, words, write_config

LETTERS = {
    (True, False): "b",
    (False, True): "e",
    (True, True): "x",
    (False, False): ".",
}


def pattern(accumulation: Accumulation, sub_epochs) -> str:
    """One letter a batch: b begins, e ends, x both, . neither; | between sub-epochs."""
    position, letters = Position(), []
    for length in sub_epochs:
        position.batch = 0
        for _ in range(length):
            begins = accumulation.begins(position)
            ends = accumulation.ends(position)
            letters.append(LETTERS[begins, ends])
            position.batch += 1
            position.batches += 1
        letters.append("|")
    return "".join(letters)


def test_the_originals_groups_reach_over_the_end_of_a_sub_epoch():
    """reference/training.md 4: counted in batches from the beginning of the training."""
    assert pattern(Accumulation(3, sums=True), (5, 4)) == "b.eb.|eb.e|"
    assert pattern(Accumulation(1, sums=True), (2, 1)) == "xx|x|"


def test_espnets_groups_begin_with_the_sub_epoch_and_never_overwrite():
    assert pattern(Accumulation(3, sums=False), (5, 4)) == "..e..|..e.|"


def test_the_regime_decides_about_sums_and_sizes():
    schedule = [
        {"from_epoch": 1, "max_frames": 10, "accum_grad": 4},
        {"from_epoch": 3, "max_frames": 10, "accum_grad": 2},
    ]
    regime = parse_regime({"batch_schedule": schedule})
    found = [accumulation_of(regime, 7, epoch) for epoch in (1, 2, 3)]
    assert [a.num_batches for a in found] == [4, 4, 2] and found[0].loss_scale == 1.0
    stock = accumulation_of(parse_regime({}), 4, 1)
    assert stock == Accumulation(4, sums=False) and stock.loss_scale == 0.25


@pytest.mark.parametrize("mode", ["sums", "means"])
def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path, mode):
    """Two batches of 4, summed, against one batch of 8 with a summed loss; and the mean
    of two mean losses against one mean.
    """
    from tests.train.tiny_training import make_data

    data = make_data(tmp_path, count=8, valid=2, longest=13)
    reduction = {"sums": "sum", "means": "mean"}[mode]
    base = {**NO_DROPOUT, "max_epoch": 1}
    base["model_conf"] = {**CONFIG["model_conf"], "loss_reduction": reduction}
    small = {**base, "batch_size": 4, "accum_grad": 2}
    if mode == "sums":
        small["regime_conf"] = {
            "batch_schedule": [{"from_epoch": 1, "max_frames": 48, "accum_grad": 2}]
        }
    for name, config in (("small", small), ("large", {**base, "batch_size": 8})):
        path = write_config(tmp_path / f"{name}.yaml", **config)
        train(words(data, tmp_path / name, "--config", str(path)), tmp_path / "log")
    small_state, large_state = (checkpoint(tmp_path / n) for n in ("small", "large"))
    assert small_state["position"]["batches"] == 2
    assert small_state["position"]["updates"] == 1
    for name, weight in large_state["model"].items():
        torch.testing.assert_close(
            small_state["model"][name], weight, rtol=1e-9, atol=1e-12
        )
