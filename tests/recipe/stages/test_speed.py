"""Stage 2: the training set at several speeds."""

import pytest

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe.stages.speed import factors
from tests.recipe.folders import make_recipe, run_stage


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_recipe(tmp_path)


def test_each_utterance_is_listed_once_a_speed_with_its_time_at_that_speed(recipe):
    run_stage(2, "--speed_perturb_factors", "0.8 1.0")
    original = {u.utterance_id: u for u in read_data_dir("data/train")}
    perturbed = {u.utterance_id: u for u in read_data_dir("data/train_sp")}
    assert len(perturbed) == 2 * len(original)
    for name, utterance in original.items():
        assert perturbed[name] == utterance
        slow = perturbed[f"sp0.8-{name}"]
        assert slow.start_s == pytest.approx(utterance.start_s / 0.8, abs=1e-6)
        assert slow.end_s == pytest.approx(utterance.end_s / 0.8, abs=1e-6)
        assert slow.text == utterance.text
        assert slow.speaker_id == f"sp0.8-{utterance.speaker_id}"
    speeds = dict(line.split() for line in read_lines("data/train_sp/reco2speed"))
    assert {k: float(v) for k, v in speeds.items()} == {
        "sp0.8-train-A": 0.8,
        "sp0.8-train-B": 0.8,
        "train-A": 1.0,
        "train-B": 1.0,
    }


@pytest.mark.parametrize("text", ["fast", "0", "-1", "0.9 9"])
def test_impossible_speeds_are_refused(text):
    with pytest.raises(OptionError, match="speed"):
        factors(text)


def test_a_speed_named_twice_counts_once():
    assert factors("1.0 0.9 1") == [1.0, 0.9]
