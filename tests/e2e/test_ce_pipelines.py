"""ce-then-fullsum and ce-conformer at tiny size, interrupted in each kind of stage."""

import json
import math

import pytest
import torch

from espnet_ext.analysis.curve import experiment_history
from espnet_ext.files import read_lines
from tests.e2e.pipeline_runs import PipelineRuns
from tests.e2e.running import clone_of, ran

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EACH = ("--pipeline_score", "each")
ALIGNED = "align_exact_ctc_prior1_valid.loss.ave"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe folder of a fresh clone."""
    return clone_of(tmp_path_factory.mktemp("pipelines") / "clone")


def losses(folder):
    """Validation loss of each epoch."""
    history = experiment_history(folder)
    return [values["valid/loss"] for values in history.values()]


def test_ce_then_fullsum_goes_on_after_an_interruption_in_each_kind_of_stage(recipe):
    runs = PipelineRuns(recipe, "ce_then_fullsum_tiny")
    aligner, framewise, finetune = (
        runs.folder(stage) for stage in ("aligner", "framewise", "finetune")
    )
    shards = aligner / ALIGNED / "train" / "shards"
    began = ran(runs.interrupt(aligner / "1epoch.pth", *EACH))
    assert began == [1, 3, 4, 5, 10]
    first = ran(runs.interrupt(shards / "1" / "keys", *EACH))
    assert first == [11, 12, 13], "the model that aligns was trained and scored"
    second = ran(runs.interrupt(finetune / "train_settings.json", *EACH))
    assert second == [21, 11, 12, 13]
    assert ran(runs.run(*EACH)) == [11, 12, 13]
    assert ran(runs.run(*EACH)) == []

    for folder, epochs in ((aligner, 2), (framewise, 1), (finetune, 1)):
        assert len(losses(folder)) == epochs and all(map(math.isfinite, losses(folder)))
        assert "rt03s" in (folder / "RESULTS.md").read_text(encoding="utf-8")
    log = (finetune / "train.log").read_text(encoding="utf-8")
    assert f"{framewise.name}/valid.fer.ave.pth:encoder:encoder" in log
    chain = json.loads((finetune / "provenance.json").read_text())
    assert [entry["stage"] for entry in chain] == [
        *("aligner", "align", "framewise", "finetune")
    ]
    # training along alignments, and from the weights of the encoder
    index = read_lines(aligner / ALIGNED / "train" / "alignment.scp")
    shapes = read_lines(framewise / "shapes" / "train" / "speech_shape")
    assert {x.split()[0] for x in index} == {x.split()[0] for x in shapes}
    before, after = (
        torch.load(file, weights_only=True)
        for file in (framewise / "valid.fer.ave.pth", finetune / "1epoch.pth")
    )
    moved = [
        float((after[name] - value).norm() / value.norm())
        for name, value in before.items()
        if name.startswith("encoder.") and name.endswith("weight") and value.dim() > 1
    ]
    assert len(moved) > 10 and max(moved) < 0.1, "one update at 5e-5 from there"


def test_ce_conformer_trains_with_its_auxiliary_losses_and_is_scored(recipe):
    runs = PipelineRuns(recipe, "ce_conformer_tiny")
    framewise = runs.folder("framewise")
    began = ran(runs.interrupt(framewise / "1epoch.pth", *EACH))
    assert began[-4:] == [11, 12, 13, 21]
    assert ran(runs.run(*EACH)) == [11, 12, 13]
    history = experiment_history(framewise)
    last = history[max(history)]
    assert len(history) == 2 and 0.0 < last["valid/fer"] <= 1.0
    assert {"valid/loss_framewise_4", "valid/loss_framewise_8"} <= set(last)
    for stage in ("aligner", "framewise"):
        assert "rt03s" in (runs.folder(stage) / "RESULTS.md").read_text("utf-8")
