"""The pipeline rna2020 at tiny size through run.sh, killed once and continued."""

import json
from pathlib import Path

import pytest

from espnet_ext.files import read_lines
from tests.e2e.pipeline_runs import PipelineRuns
from tests.e2e.running import clone_of, ran

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = {
    name: f"exp/asr_rna2020_tiny_{name}_raw_en_bpe50"
    for name in ("fullsum", "extended", "retrain")
}
ALIGNED = f"{MODELS['fullsum']}/align_sum_alpha_auto_valid.loss.ave"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> PipelineRuns:
    """Of the pipeline in a fresh clone."""
    recipe = clone_of(tmp_path_factory.mktemp("pipelines") / "clone")
    return PipelineRuns(recipe, "rna2020_tiny")


@pytest.fixture(scope="module")
def recipe(runs) -> Path:
    """The recipe folder."""
    return runs.recipe


@pytest.fixture(scope="module")
def continued(runs) -> str:
    """All stages; killed in the first framewise training, then run again."""
    screen = runs.interrupt(runs.folder("extended") / "1epoch.pth")
    assert ran(screen) == [1, 3, 4, 5, 10, 11, 21], screen
    return runs.run()


def test_a_killed_pipeline_continues_where_it_was(continued):
    assert ran(continued) == [11, 11, 12, 13], continued
    assert "continues from the last checkpoint" in continued


def test_every_stage_has_trained_and_the_last_one_is_scored(recipe, continued):
    for folder in MODELS.values():
        assert (recipe / folder / "latest.pth").is_file()
    results = (recipe / MODELS["retrain"] / "RESULTS.md").read_text(encoding="utf-8")
    assert "rt03s" in results
    assert not (recipe / MODELS["fullsum"] / "RESULTS.md").exists()


def test_exactly_the_aligned_utterances_are_trained_on(recipe, continued):
    index = read_lines(recipe / ALIGNED / "train" / "alignment.scp")
    shapes = recipe / MODELS["extended"] / "shapes/train/speech_shape"
    assert {x.split()[0] for x in index} == {x.split()[0] for x in read_lines(shapes)}


def test_the_last_model_starts_from_the_one_before(recipe, continued):
    text = (recipe / MODELS["retrain"] / "train.log").read_text(encoding="utf-8")
    assert f"{MODELS['extended']}/valid.fer.ave.pth" in text


def test_each_stage_keeps_the_chain_of_configurations(recipe, continued):
    def chain(folder):
        return json.loads((recipe / folder / "provenance.json").read_text())

    last = chain(MODELS["retrain"])
    assert [entry["stage"] for entry in last] == [
        *("fullsum", "align", "extended", "retrain")
    ]
    assert chain(MODELS["extended"]) == last[:3] and chain(ALIGNED) == last[:2]
    assert len({entry["chain_hash"] for entry in last}) == 4


def test_a_second_run_skips_everything(runs, continued):
    assert ran(runs.run()) == []


def test_a_changed_setting_runs_that_stage_and_what_depends_on_it(runs, continued):
    file = runs.recipe / "../../tests/e2e/rna2020_tiny.yaml"
    kept = file.read_text(encoding="utf-8")
    changed = kept.replace(
        "retrain: {", "retrain: {set: {optim_conf: {lr: 0.001}, max_epoch: 1}, "
    )
    assert changed != kept
    file.write_text(changed, encoding="utf-8")
    try:
        screen = runs.run()
    finally:
        file.write_text(kept, encoding="utf-8")
    assert ran(screen) == [11, 12, 13], screen
    assert "optim_conf.lr 0.003 -> 0.001" in screen
