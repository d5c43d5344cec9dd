"""The whole plugin: order, counting, stream, evaluation, lengths in a model."""

import pytest
import torch

from espnet_ext.asr.specaug.masks_by_step import MasksByStep
from espnet_ext.streams import Streams, attach
from tests.asr.tiny import tiny_batch, tiny_model

ALL = {
    "masks": {"time_length": [1, 4], "feature_length": [1, 2]},
    "time_warp": {"std_frames": [[0, 20]], "feature_std": 1.0, "feature_cells": 2},
    "time_resize": {"range": [0.8, 1.2]},
    "frame_drop": {"rate": 0.2, "min_frames": 5},
    "length_perturbation": {"drop_rate": 0.05, "insert_rate": 0.05},
}


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 40, 8, generator=generator), torch.tensor([40, 31, 12])


def attached(options, seed=1):
    layer = MasksByStep(**options)
    attach(layer, Streams(seed))
    return layer


def test_a_seed_repeats_everything_whatever_the_default_generator_does():
    first, second = attached(ALL), attached(ALL)
    torch.manual_seed(0)
    results = [first(*batch(n)) for n in range(4)]
    torch.manual_seed(99)
    for n, (x, lengths) in enumerate(results):
        y, same_lengths = second(*batch(n))
        assert torch.equal(x, y) and torch.equal(lengths, same_lengths)
    other, _ = attached(ALL, seed=2)(*batch())
    assert other.shape != results[0][0].shape or not torch.equal(other, results[0][0])


@pytest.mark.parametrize("name", ALL)
def test_each_part_alone_changes_the_batch(name):
    layer = attached({name: ALL[name]})
    layer.seen_batches += 5000
    x, lengths = batch()
    y, new = layer(x.clone(), lengths)
    assert y.shape != x.shape or not torch.equal(x, y)
    assert int(new.max()) <= y.size(1)
    assert len(new) == 3 and new.dtype == lengths.dtype


@pytest.mark.parametrize(
    "neutral",
    [
        {},
        {"time_warp": {}},
        {"time_resize": {"range": [1.0, 1.0]}},
        {"frame_drop": {"rate": 0.0, "in_evaluation": True}},
        {"length_perturbation": {}},
        {"sequence_noise": {"probability": 0.0}},
    ],
)
def test_neutral_options_are_the_identity_and_draw_nothing(neutral):
    layer = attached(neutral)
    before = layer.generator.get_state()
    x, lengths = batch()
    y, new = layer(x.clone(), lengths)
    assert torch.equal(x, y) and torch.equal(new, lengths)
    assert torch.equal(layer.generator.get_state(), before)
    layer.eval()
    assert not layer.in_evaluation


def test_the_count_of_batches_is_in_the_checkpoint_and_starts_the_schedule():
    options = {"time_warp": {"std_frames": [[2, 20]]}}
    layer = attached(options)
    x, lengths = batch()
    same = [torch.equal(layer(x, lengths)[0], x) for _ in range(4)]
    assert same == [True, True, False, False]
    resumed = attached(options)
    resumed.load_state_dict(layer.state_dict())
    assert float(resumed.seen_batches) == 4
    assert resumed.seen_batches.is_floating_point()  # survives n-best averaging
    # what a rollback to an earlier model must not take back
    assert set(layer.keep_on_rollback) == set(layer.state_dict())


def test_evaluation_is_the_identity_and_does_not_count():
    layer = attached(ALL).eval()
    x, lengths = batch()
    y, new = layer(x, lengths)
    assert torch.equal(x, y) and torch.equal(lengths, new)
    assert float(layer.seen_batches) == 0


def test_frame_drop_acts_in_evaluation_where_the_original_did():
    layer = attached({"frame_drop": {"rate": 0.3, "in_evaluation": True}}).eval()
    x, lengths = batch()
    assert layer.in_evaluation
    _, new = layer(x, lengths)
    assert int(new.sum()) < int(lengths.sum())


def test_masks_come_before_the_frame_drop_and_after_the_resize():
    """A masked stretch of features spans all frames that are left."""
    options = {
        "masks": {"feature_length": [3, 3], "time_length": [1, 2]},
        "time_resize": {"range": [1.2, 1.2]},
        "frame_drop": {"rate": 0.3},
    }
    layer = attached(options)
    layer.seen_batches += 1000
    y, lengths = layer(torch.ones(2, 50, 8), torch.tensor([50, 50]))
    assert int(lengths.max()) == y.size(1) < 60
    for b in range(2):
        inside = y[b, : int(lengths[b])]
        assert (inside == 0).all(0).any()
        # resizing afterwards would have left values between zero and one
        assert ((inside - 1.0).abs() < 1e-6).logical_or(inside == 0).all()


def test_unknown_options_are_named():
    with pytest.raises(ValueError, match="masks: .*time_lengths"):
        MasksByStep(masks={"time_lengths": [1, 2]})


@pytest.mark.slow
def test_a_model_trains_on_changed_lengths_and_is_the_same_without_them():
    model = tiny_model().train()
    plain = float(model(**tiny_batch())[0].detach())
    model.specaug = attached({"time_resize": {"range": [1.5, 1.5]}})
    stretched, _, _ = model(**tiny_batch())
    stretched.backward()
    assert torch.isfinite(stretched) and float(stretched.detach()) != plain
    model.eval()
    evaluated = float(model(**tiny_batch())[0].detach())
    model.specaug = None
    assert float(model(**tiny_batch())[0].detach()) == evaluated


@pytest.mark.slow
def test_frame_drop_reaches_validation_scores_but_not_recognition():
    model = tiny_model().eval()
    data = tiny_batch()
    speech = data["speech"], data["speech_lengths"]
    plain, frames = model(**data)[0].detach(), model.encode(*speech)[0]
    model.specaug = attached(
        {"frame_drop": {"rate": 0.5, "min_frames": 6, "in_evaluation": True}}
    ).eval()
    assert not torch.equal(model(**data)[0].detach(), plain)
    assert torch.equal(model.encode(*speech)[0], frames)
