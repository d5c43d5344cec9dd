"""Going back to an earlier model: which one, and what stays."""

import random

import pytest
import torch

from espnet_ext.errors import CheckpointError
from espnet_ext.streams import Streams
from espnet_ext.train.hooks import TrainingParts
from espnet_ext.train.regime import Regime, Rollback
from espnet_ext.train.rollback import (
    KeptCheckpoints,
    RollbackHook,
    rollback_epoch,
)
from espnet_ext.train.scores import ScoredEpoch

STANDARD = Rollback(
    last_scores=3, max_score=50.0, min_score_distance=1.5, first_epoch=35
)


def scored(values, first=35, keys=None):
    keys = keys or ["main"] * len(values)
    return [ScoredEpoch(first + n, v, keys[n]) for n, v in enumerate(values)]


def as_the_document_says(epoch, scores, o):
    """reference/training.md 7, sentence by sentence."""
    latest = scores[-1]
    first = o.first_epoch
    if o.last_epochs:
        first = max(first, epoch - o.last_epochs)
    listed = [s for s in scores if s.epoch >= first and s.key == latest.key]
    listed = [s for s in listed if s.score <= o.max_score]
    if o.last_scores:
        listed = listed[-o.last_scores :]
    worse = [s for s in listed if s.score + o.min_score_distance < latest.score]
    if not worse:
        return None
    lowest = min(s.score for s in worse)
    return next(s.epoch for s in worse if s.score == lowest)


@pytest.mark.parametrize("seed", range(30))
def test_it_goes_where_the_document_says(seed):
    rng = random.Random(seed)
    options = rng.choice(
        [
            STANDARD,
            Rollback(last_scores=10, max_score=50.0, min_score_distance=0.5),
            Rollback(last_epochs=3, max_score=50.0, min_score_distance=1.5),
        ]
    )
    went = 0
    scores = []
    for epoch in range(1, 80):
        score = round(rng.choice([20, 20, 21, 22, 30, 60]) + rng.random(), 1)
        key = "main" if epoch > 20 else "auxiliary"
        scores.append(ScoredEpoch(epoch, score, key))
        found = rollback_epoch(epoch + 1, scores, options)
        assert found == as_the_document_says(epoch + 1, scores, options)
        went += found is not None
    assert went > 5


def test_the_lowest_of_the_last_three_is_taken():
    scores = scored([10.0, 14.0, 12.0, 14.0])
    assert rollback_epoch(39, scores, STANDARD) == 37
    assert rollback_epoch(38, scores[:3], STANDARD) == 35
    assert rollback_epoch(39, scored([12.0, 12.0, 12.0, 13.4]), STANDARD) is None


def test_a_diverged_last_sub_epoch_is_compared_but_no_candidate():
    assert rollback_epoch(37, scored([20.0, 400.0]), STANDARD) == 35
    assert rollback_epoch(37, scored([60.0, 400.0]), STANDARD) is None


def test_nothing_before_the_first_sub_epoch_counts():
    assert rollback_epoch(36, scored([1.0, 20.0], first=34), STANDARD) is None


def test_a_score_that_is_not_a_number_does_not_go_back():
    assert rollback_epoch(37, scored([20.0, float("nan")]), STANDARD) is None


class Layer(torch.nn.Linear):
    keep_on_rollback = ("batches",)

    def __init__(self):
        super().__init__(2, 2)
        self.register_buffer("batches", torch.zeros(()))


def parts_in(folder, scores):
    model = Layer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    return TrainingParts(
        model,
        [optimizer],
        [None],
        Streams(0),
        Regime(rollback=STANDARD),
        output_dir=folder,
        history={s.epoch: {"valid": {"loss": s.score}} for s in scores},
    )


def train(parts, value):
    with torch.no_grad():
        parts.model.weight.fill_(value)
        parts.model.batches.fill_(value)
    parts.model.weight.grad = torch.ones(2, 2)
    parts.optimizers[0].step()


def test_weights_go_back_optimizer_is_reset_rate_and_steps_stay(tmp_path):
    parts = parts_in(tmp_path, scored([10.0, 30.0]))
    train(parts, 35.0)
    torch.save(parts.model.state_dict(), tmp_path / "35epoch.pth")
    earlier = parts.model.weight.detach().clone()
    train(parts, 36.0)
    parts.optimizers[0].param_groups[0]["lr"] = 0.01
    hook = RollbackHook(STANDARD)
    hook.begin_sub_epoch(37, parts)
    assert torch.equal(parts.model.weight, earlier)
    assert float(parts.model.batches) == 36.0
    assert not parts.optimizers[0].state
    assert parts.optimizers[0].param_groups[0]["lr"] == 0.01
    restored = RollbackHook(STANDARD)
    restored.load_state_dict(hook.state_dict())
    assert restored.went_back == {37: 35}


def test_without_reason_nothing_changes(tmp_path):
    parts = parts_in(tmp_path, scored([10.0, 11.0]))
    train(parts, 36.0)
    before = parts.model.weight.detach().clone()
    RollbackHook(STANDARD).begin_sub_epoch(37, parts)
    assert torch.equal(parts.model.weight, before)
    assert parts.optimizers[0].state


def test_a_model_that_is_gone_is_named(tmp_path):
    parts = parts_in(tmp_path, scored([10.0, 30.0]))
    with pytest.raises(CheckpointError, match="model of sub-epoch 35, which is gone"):
        RollbackHook(STANDARD).begin_sub_epoch(37, parts)


def test_the_original_s_pattern_and_the_last_five_are_kept():
    """reference/training.md 7: {80,160,240,..} + {20,40,80,160,..} and the last 5."""
    kept = KeptCheckpoints(5).keep_epochs(250, parts=None)
    assert list(kept) == [20, 40, 80, 160, 240, 246, 247, 248, 249, 250]
    assert list(KeptCheckpoints(2).keep_epochs(3, parts=None)) == [2, 3]
