"""Stage 13: what is said beside the results."""

import pytest

from espnet_ext.corpus.training_sets import MARK
from espnet_ext.recipe.stages.score import (
    SELECTED_ON_TEST,
    experiment_name,
    note,
    register,
    seed_of,
)
from tests.recipe.folders import context


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_selection_on_a_test_set_is_said_beside_every_result():
    here = context("--corpus", "ldc", "--valid_set", "dev_select_on_test")
    assert note(here) == ""
    folder = here.layout.data / "dev_select_on_test"
    folder.mkdir(parents=True)
    (folder / MARK).write_text("made by selecting on a test set")
    assert note(here) == SELECTED_ON_TEST


def test_synthetic_speech_is_said_to_be_synthetic_but_own_data_is_not():
    assert "synthetic" in note(context("--corpus", "embedded"))
    own = ("--skip_data_prep", "true", "--datadir", "d", "--train_set", "a")
    assert note(context("--corpus", "embedded", *own, "--valid_set", "b")) == ""


def test_results_on_ldc_data_have_a_register_of_their_own(tmp_path):
    (tmp_path / "conf").mkdir()
    assert register(context("--corpus", "ldc")) == tmp_path / "results" / "runs.csv"
    made_up = context("--corpus", "embedded", "--results_dir", "elsewhere")
    assert str(register(made_up)) == "elsewhere/local.csv"


def test_a_result_is_registered_under_the_experiments_name():
    by_file = context("--corpus", "ldc", "--asr_config", "conf/train_start.yaml")
    assert experiment_name(by_file) == "train_start"
    assert experiment_name(context("--corpus", "ldc", "--exp", "start")) == "start"


def test_the_registered_seed_is_that_of_the_model(tmp_path):
    assert seed_of(tmp_path) == ""
    (tmp_path / "config.yaml").write_text("seed: 3\ntoken_list: [a, b]\n")
    assert seed_of(tmp_path) == "3"
