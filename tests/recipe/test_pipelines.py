"""Pipelines: what a file may say, in which order it runs, and what runs again."""

import dataclasses
import json
from pathlib import Path

import pytest

from espnet_ext.errors import MissingInputError, OptionError, UserError
from espnet_ext.recipe import cli
from espnet_ext.recipe.parse import parse
from espnet_ext.recipe.pipelines import provenance
from espnet_ext.recipe.pipelines.plan import make_plan
from espnet_ext.recipe.pipelines.reading import find_pipeline, load_pipeline
from espnet_ext.recipe.pipelines.run import run_pipeline, selected_numbers
from espnet_ext.recipe.stages import Stage, align, alignments, stage, train
from espnet_ext.recipe.state import Unit
from tests.recipe.folders import context
from tests.shared import REPOSITORY

NAMES = ("ce-conformer", "ce-then-fullsum", "realign", "rna2020", "rna2020_demo")
THREE = """
stages:
  first: {config: conf/train_demo.yaml}
  align: {align: first}
  second:
    config: conf/train_demo.yaml
    alignment: align
    set: {model: framewise_transducer, best_model_criterion: [[valid, fer, min]]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")


def written(text: str, name: str = "mine") -> str:
    """A pipeline file; its name."""
    Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    return f"{name}.yaml"


def planned(name: str, *words: str) -> dict:
    """The plan by stage name."""
    options = parse(["--pipeline", name, "--nbpe", "50", *words])
    pipeline = load_pipeline(name, options.pipeline_repeat)
    plan = make_plan(options, pipeline, [10, 11])
    return {item.stage.name: item for item in plan}


# Files


@pytest.mark.parametrize("name", NAMES)
def test_the_pipelines_of_the_recipe_can_be_planned_with_all_parts_there(name):
    plan = planned(name, "--asr_config", "conf/train_demo.yaml")
    assert any(not item.stage.trains for item in plan.values())


def test_rna2020_is_full_sum_then_align_then_framewise_twice():
    plan = planned("rna2020")
    assert list(plan) == ["fullsum", "align", "extended", "retrain"]
    extended, retrain = (plan[name] for name in ("extended", "retrain"))
    for item in (extended, retrain):
        assert item.settings["max_epoch"] == 150  # 25 epochs of six sub-epochs
        assert item.settings["decoder"] == "extended_transducer"
        assert item.context.options.alignment_dir == str(
            align.align_dir(plan["align"].context)
        )
        assert item.settings["scheduler_conf.lr_segments"] == [[1e-4, 1e-3, 10]]
    assert plan["fullsum"].settings["max_epoch"] == 150
    assert extended.context.options.pretrained_model == ""  # from scratch
    assert retrain.context.options.pretrained_model == (
        f"{extended.context.layout.asr_exp}/valid.fer.ave.pth"
    )
    assert extended.settings["encoder_conf.growth_start_layers"] == 2
    assert retrain.settings["encoder_conf.growth_start_layers"] is None


def test_ce_then_fullsum_has_the_settings_of_the_reference_and_takes_the_encoder():
    plan = planned("ce-then-fullsum")
    framewise, finetune = plan["framewise"].settings, plan["finetune"].settings
    sizes = {
        "num_layers": 12,
        "model_size": 512,
        "feed_forward_size": 2048,
        "num_heads": 8,
        "conv_kernel_size": 32,
        "frontend.type": "vgg",
    }
    for settings in (framewise, finetune):
        assert {k: settings[f"encoder_conf.{k}"] for k in sizes} == sizes
        assert settings["scheduler"] == "piecewise_linear"
    rates = [rate for _, rate in framewise["scheduler_conf.points"]]
    assert (rates[0], max(rates), rates[-1]) == (8e-5, 8e-4, 1e-6)
    assert [r for _, r in finetune["scheduler_conf.points"]] == [5e-5, 1e-5, 1e-6]
    initial = plan["finetune"].context.options.pretrained_model
    assert initial.endswith("framewise_raw_bpe50/valid.fer.ave.pth:encoder:encoder")


def test_ce_conformer_has_the_settings_of_the_reference():
    settings = planned("ce-conformer")["framewise"].settings
    wanted = {
        "encoder_conf.num_layers": 12,
        "encoder_conf.model_size": 384,
        "encoder_conf.feed_forward_size": 1536,
        "encoder_conf.conv_kernel_size": 8,
        "encoder_conf.conv_norm": "layer_norm",
        "encoder_conf.frontend.time_strides": [1, 1, 3, 1],
        "encoder_conf.chunk_size": 167,  # 500 input frames, a third of them left
        "model_conf.focal_factor": 2.0,
        "model_conf.aux_framewise.layers": [4, 8],
        "max_epoch": 260,
        "batch_bins": 14000 * 80,
        "scheduler_conf.points": [[1, 2e-3], [101, 2e-2], [201, 2e-3], [260, 1e-7]],
    }
    assert {key: settings[key] for key in wanted} == wanted
    assert not any("l2" in key or "weight_decay" in key for key in settings)
    assert not any("growth" in key for key in settings)


def test_realign_aligns_with_the_model_that_went_on_last():
    plan = planned(
        "realign", "--asr_config", "conf/train_demo.yaml", "--pipeline_repeat", "3"
    )
    assert list(plan) == [
        "start",
        *(f"{name}_{n}" for n in (1, 2, 3) for name in ("align", "continue")),
    ]
    assert [plan[f"align_{n}"].stage.align for n in (1, 2, 3)] == [
        *("start", "continue_1", "continue_2")
    ]
    assert plan["continue_2"].stage.parents == ("continue_1", "align_2")
    # a model that was trained before is where it was
    assert plan["start"].context.layout.asr_exp.name == "asr_train_demo_raw_bpe50"
    # its CTC layer has no place in what follows
    assert plan["continue_1"].context.options.pretrained_model.endswith(":::ctc")


def test_a_pipeline_may_change_stages_of_another_one_and_take_some_out():
    written(THREE, "base")
    name = written(
        "base: base.yaml\n"
        "stages:\n"
        "  align: null\n"
        "  second: {alignment: given}\n"
    )
    plan = planned(name, "--alignment_dir", "exp/mine")
    assert list(plan) == ["first", "second"]
    assert plan["second"].context.options.alignment_dir == "exp/mine"
    assert plan["second"].settings["model"] == "framewise_transducer"
    assert plan["first"].context.options.alignment_dir == ""


# Errors


def test_an_unknown_pipeline_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match="did you mean rna2020"):
        find_pipeline("rna2000")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("    alignment: align\n", "", "needs an alignment.*\n.*align"),
        ("alignment: align", "alignment: alin", "did you mean 'align'"),
        ("alignment: align", "alignment: first", "no earlier stage.*makes alignments"),
        ("{align: first}", "{align: second}", "no earlier stage.*trains a model"),
        ("  align: {align: first}\n", "", "put a stage that makes alignments"),
        ("alignment: align", "alignment: given", "--alignment_dir DIR"),
        ("{align: first}", "{align: first, init: first}", "unknown key 'init'"),
        ("{align: first}", "{align: first, method: exct}", "did you mean exact"),
        ("{align: first}", "{align: first, dtype: half}", "float32, bfloat16"),
        ("alignment: align", "alignmnt: align", "did you mean 'alignment'"),
        ("{model:", "{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, model:",
         "sets 11 values"),
        ("{model: framewise_transducer, ", "{", "which its model .* does not use"),
        ("{model:", "{max_epochs: 3, model:", "did you mean 'max_epoch'"),
        ("{model:", "{frontend_conf: {n_mels: 41}, model:", "other features"),
        ("alignment: align", "alignment: align\n    part: encoder",
         "part without init"),
        ("  first:", "  First:", "no name of a stage"),
        ("stages:", "loop: {stages: [first], times: 2}\nstages:", "the loop is"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_runs(old, new, said):
    assert old in THREE
    with pytest.raises(UserError, match=f"(?s){said}"):
        planned(written(THREE.replace(old, new, 1)))


def test_options_that_the_stages_have_themselves_are_refused():
    with pytest.raises(OptionError, match="--asr_tag"):
        planned(written(THREE), "--asr_tag", "x")
    with pytest.raises(OptionError, match="has no loop"):
        planned(written(THREE), "--pipeline_repeat", "2")
    with pytest.raises(OptionError, match="needs --pipeline"):
        parse(["--pipeline_stages", "align"])


# Running, with stages that only write their outputs


class Fake:
    """Stages that write their outputs; one of them may be killed."""

    def __init__(self, monkeypatch):
        self.ran, self.resumed, self.kill = [], [], ""
        monkeypatch.setattr(cli, "stage", self.stage)

    def stage(self, number: int) -> Stage:
        return Stage(number, "fake", lambda c: self.units(number, c), self.run)

    def units(self, number, here):
        options, layout = here.options, here.layout
        target, inputs, settings = layout.asr_exp, [], {}
        outputs = [target / "latest.pth"]
        if number == 11:
            settings = {"config": Path(options.asr_config).read_text()}
            inputs = train.initial_weights(here)
            if options.alignment_dir:
                inputs.append(Path(options.alignment_dir) / "all")
            outputs.append(target / options.inference_asr_model)
        elif number == 21:
            inputs, target = [outputs[0]], align.align_dir(here)
            outputs, settings = [target / "all"], {"how": options.align_method}
        else:
            target = layout.exp / str(number)
            outputs = [target / layout.asr_exp.name if number > 11 else target / "x"]
            if number > 11:
                inputs, target = [layout.asr_exp / "latest.pth"], outputs[0]
        return [Unit(number, str(target), settings, inputs, outputs, layout.exp)]

    def run(self, here, due):
        ((unit, decision),) = due
        name = Path(unit.target).name.removeprefix("asr_mine_").partition("_raw")[0]
        label = {21: "align"}.get(unit.stage, name if unit.stage == 11 else unit.stage)
        if label == self.kill:
            raise KeyboardInterrupt
        self.ran.append(label)
        self.resumed += [label] * decision.resume
        for path in unit.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            settings = dict(unit.settings)
            seen = [Path(file).read_text() for file in unit.inputs]
            path.write_text(json.dumps([str(unit.target), settings, seen]))
        return {}


@pytest.fixture
def fake(monkeypatch):
    return Fake(monkeypatch)


def run(fake, text=THREE, *words):
    """Run the pipeline; what ran."""
    fake.ran, fake.resumed = [], []
    settings = "--use_lm false --fs 8k --corpus embedded".split()
    options = parse([*settings, "--pipeline", written(text), *words])
    run_pipeline(options, cli.run_stage)
    return fake.ran


BEFORE = [1, 3, 4, 5, 10]


def test_preparation_runs_once_then_each_stage_then_the_last_is_scored(fake):
    assert run(fake) == [*BEFORE, "first", "align", "second", 12, 13]
    assert run(fake) == []


def test_each_trained_model_is_scored_if_wanted(fake):
    ran = run(fake, THREE, "--pipeline_score", "each")
    assert ran == [*BEFORE, "first", 12, 13, "align", "second", 12, 13]


@pytest.mark.parametrize("killed", ["first", "align", "second", 12])
def test_a_pipeline_killed_in_any_stage_continues_there(fake, killed):
    whole = [*BEFORE, "first", "align", "second", 12, 13]
    fake.kill = killed
    with pytest.raises(KeyboardInterrupt):
        run(fake)
    done = list(fake.ran)
    assert done == whole[: whole.index(killed)]
    fake.kill = ""
    assert run(fake) == whole[len(done) :]
    assert fake.resumed == [killed]


@pytest.mark.parametrize(
    "old, new, again",
    [
        ("first: {", "first: {set: {max_epoch: 3}, ", ["first", "align", "second"]),
        ("{align: first}", "{align: first, method: sum_alpha}", ["align", "second"]),
        ("{model:", "{max_epoch: 3, model:", ["second"]),
    ],
)
def test_a_changed_stage_runs_again_with_what_depends_on_it_and_no_other(
    fake, old, new, again
):
    run(fake)
    assert run(fake, THREE.replace(old, new, 1)) == [*again, 12, 13]


def test_stages_can_be_chosen_by_number_and_by_name(fake):
    assert run(fake, THREE, "--stop_stage", "10") == BEFORE
    assert run(fake, THREE, "--stage", "11", "--stop_stage", "11") == [
        *("first", "align", "second")
    ]
    assert run(fake, THREE, "--stage", "12") == [12, 13]
    longer = THREE.replace("first: {", "first: {set: {max_epoch: 3}, ")
    assert run(fake, longer, "--pipeline_stages", "first") == ["first"]
    assert run(fake, longer, "--stage", "align") == ["align"]
    with pytest.raises(OptionError, match="did you mean second"):
        run(fake, THREE, "--pipeline_stages", "secnd")


def test_a_stage_whose_source_was_never_made_says_what_is_missing(fake):
    text = THREE.replace("    alignment", "    init: first\n    alignment")
    with pytest.raises(MissingInputError, match="no such weights"):
        run(fake, text, "--pipeline_stages", "second")


def test_selecting_training_brings_the_alignments_along():
    options = parse(["--stage", "11", "--stop_stage", "11"])
    assert selected_numbers(options) == [11, 21]
    options = dataclasses.replace(options, stage=12, stop_stage=13)
    assert selected_numbers(options) == [12, 13]


# Provenance


def hashes(text: str) -> dict:
    name = written(text)
    plan = planned(name)
    entries = provenance.chain(load_pipeline(name), plan, "second")
    return {entry["stage"]: entry for entry in entries}


def test_the_chain_names_every_stage_and_what_it_took(fake):
    run(fake)
    (file,) = Path("exp").glob("asr_mine_second_*/provenance.json")
    chain = json.loads(file.read_text())
    assert [entry["stage"] for entry in chain] == ["first", "align", "second"]
    assert chain[1]["takes"] == {"aligned with": "first"}
    assert chain[2]["takes"] == {"alignment": "align"}
    (aligned,) = Path("exp").glob("asr_mine_first_*/align_*/provenance.json")
    assert json.loads(aligned.read_text()) == chain[:2]


def test_a_change_alters_the_chain_hashes_from_there_on():
    old = hashes(THREE)
    new = hashes(THREE.replace("{align: first}", "{align: first, method: sum_alpha}"))
    differ = {
        name: [key for key in ("config_hash", "chain_hash") if old[name][key] != e[key]]
        for name, e in new.items()
    }
    assert differ == {
        "first": [],
        "align": ["config_hash", "chain_hash"],
        "second": ["chain_hash"],
    }


# Training on alignments


def test_only_aligned_utterances_are_trained_on():
    folder = Path("aligned")
    here = context("--alignment_dir", "aligned")
    for role, name in (("train", "train"), ("valid", "dev")):
        (folder / name).mkdir(parents=True)
        (folder / name / "alignment.scp").write_text(f"b aligned/{name}/x.ark:2\n")
        stats = here.layout.asr_stats / role
        stats.mkdir(parents=True)
        (stats / "speech_shape").write_text("a 800\nb 900\n")
        (stats / "text_shape.bpe").write_text("a 8,22\nb 9,22\n")
    facts = alignments.write_shapes(here)
    speech, text = alignments.shapes(here, "train")
    assert speech.read_text() == "b 900\n" and text.read_text() == "b 9,22\n"
    assert facts["aligned, train"] == "1 of 2 utterances"
    assert "aligned/dev/alignment.scp,alignment,kaldi_ark" in alignments.arguments(here)


def test_training_without_alignments_of_a_set_is_refused():
    with pytest.raises(MissingInputError, match="no alignments of train"):
        alignments.files(context("--alignment_dir", "nowhere"))


def test_the_stages_of_the_recipe_are_those_that_a_pipeline_runs():
    assert stage(11).units is train.units and stage(21).units is align.units
