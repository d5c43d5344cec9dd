"""No mean of models is made across growing stages."""

import torch

from espnet_ext.train.mixed_stages import averageable
from tests.train.tiny_training import CONFIG, train, words, write_config


def test_only_means_within_a_stage_are_made(tmp_path):
    for epoch, layers in enumerate((2.0, 2.0, 4.0, 4.0, 4.0), start=1):
        state = {"encoder.active_layers": torch.tensor(layers)}
        torch.save(state, tmp_path / f"{epoch}epoch.pth")
    order = [5, 3, 4, 2, 1]
    assert averageable(tmp_path, order, [1, 3, 4, 5]) == [1, 3]
    assert averageable(tmp_path, [2, 5], [1, 2]) == [1]


def test_models_that_do_not_grow_are_averaged(tmp_path):
    for epoch in (1, 2):
        torch.save({"weight": torch.zeros(1)}, tmp_path / f"{epoch}epoch.pth")
    assert averageable(tmp_path, [1, 2], [2]) == [2]


def test_a_training_says_which_mean_it_does_not_make(tiny_data, tmp_path):
    """Two and three layers: their mean would be a model of no stage."""
    growth = {"growth_start_layers": 2, "growth_epochs_per_layer": 1, "num_layers": 3}
    encoder = {**CONFIG["encoder_conf"], **growth}
    config = write_config(tmp_path / "c.yaml", encoder_conf=encoder)
    options = ("--max_epoch", "2", "--config", str(config))
    text = train(words(tiny_data, tmp_path / "exp", *options), tmp_path / "log")
    assert "no mean of the 2 best models by valid.loss" in text
    assert not (tmp_path / "exp" / "valid.loss.ave_2best.pth").exists()
