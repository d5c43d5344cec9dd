"""``--exp NAME`` and values of the command line, before any stage runs."""

import csv
from pathlib import Path

import pytest
import yaml

from espnet_ext.errors import OptionError
from espnet_ext.recipe import cli, experiment
from espnet_ext.recipe.experiment import dotted_words, with_experiment
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.parse import parse
from espnet_ext.recipe.stages import common
from tests.recipe.folders import context
from tests.shared import REPOSITORY

NAME = "conformer_ln_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"
DEMO = "base: train_demo\nname: small\nencoder_conf: {hidden_size: 32}\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A recipe folder with the configurations, as egs2/swbd_repro has them."""
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(REPOSITORY / "conf")


def test_the_experiment_becomes_configuration_name_and_decoding():
    options = with_experiment(parse(["--exp", NAME]), [1, 2])
    file = Path(options.asr_config)
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert config["experiment_conf"]["name"] == NAME
    assert config["encoder_conf"]["model_size"] == 384
    assert Layout(options).asr_tag.startswith(f"{NAME}_raw")
    assert options.inference_config == "conf/decode_start.yaml"


def test_the_same_name_in_another_order_is_named_as_it_was_typed():
    options = with_experiment(parse(["--exp", "start_slowpretrain"]), [1])
    assert Path(options.asr_config).stem == "start_slowpretrain"


def test_a_selected_training_stage_needs_all_parts_before_stage_1_begins(monkeypatch):
    monkeypatch.setattr(experiment, "missing_parts", lambda config: ["optim: nadam_tf"])
    with pytest.raises(OptionError, match="(?s)stage 10 .*optim: nadam_tf.*exp check"):
        with_experiment(parse(["--exp", NAME]), range(1, 15))
    assert not Path("exp").exists()


def test_an_overlay_on_a_complete_configuration_can_be_trained():
    Path("mine.yaml").write_text(DEMO)
    for option in ("--exp", "--asr_config"):
        options = with_experiment(parse([option, "mine.yaml"]), range(1, 15))
        config = yaml.safe_load(Path(options.asr_config).read_text())
        whole = yaml.safe_load((REPOSITORY / "conf/train_demo.yaml").read_text())
        whole["encoder_conf"]["hidden_size"] = 32
        assert config.pop("experiment_conf")["name"] == "small"
        assert config == whole


def test_a_complete_configuration_is_used_as_it_is():
    options = parse(["--asr_config", "conf/train_demo.yaml"])
    assert with_experiment(options, range(1, 15)) == options


def test_of_name_and_file_the_later_one_counts():
    """run.sh sets --asr_config and --inference_config before the user's words."""
    first = "--asr_config conf/train_demo.yaml --inference_config conf/decode_demo.yaml"
    options = parse([*first.split(), "--exp", "start"])
    assert (options.asr_config, options.inference_config) == ("", "")
    options = parse(["--exp", "start", *first.split()])
    assert (options.exp, options.asr_config) == ("", "conf/train_demo.yaml")
    late = parse(["--exp", "start", "--inference_config", "conf/decode_beam12.yaml"])
    assert with_experiment(late, [1]).inference_config == "conf/decode_beam12.yaml"


@pytest.mark.parametrize(
    "given, expected",
    [
        ("encoder.dropout=0.2", ["--encoder_conf", "dropout=0.2"]),
        ("encoder_conf.dropout=0.2", ["--encoder_conf", "dropout=0.2"]),
        ("decoder.joint.readout_size=8", ["--decoder_conf", "joint.readout_size=8"]),
        ("max_epoch=3", ["--max_epoch=3"]),
        ("--max_epoch 3", ["--max_epoch", "3"]),
        ("--encoder_conf dropout=0.2", ["--encoder_conf", "dropout=0.2"]),
        ("--optim_conf lr=0.1 encoder.dropout=0", None),
    ],
)
def test_dotted_values_become_espnets_options(given, expected):
    expected = expected or [*"--optim_conf lr=0.1 --encoder_conf dropout=0".split()]
    assert dotted_words(given) == expected


def test_a_wrong_value_on_the_command_line_is_refused_at_once():
    words = ["--exp", "start", "--asr_args", "encoder.dropuot=0.2"]
    with pytest.raises(OptionError, match="did you mean 'dropout'"):
        with_experiment(parse(words), [1])


def test_values_of_the_command_line_are_part_of_the_name():
    words = ["--exp", "start", "--asr_args", "encoder.dropout=0.2"]
    options = with_experiment(parse(words), [1])
    assert options.asr_args == "--encoder_conf dropout=0.2"
    assert Layout(options).asr_tag.endswith("_encoder_confdropout0.2")


def test_a_mistyped_name_ends_the_command_with_the_nearest(capsys):
    assert cli.main(["--exp", "conformer_specagu", "--stage", "1"]) == 1
    assert "'specaug'" in capsys.readouterr().err
    assert not Path("exp").exists() and not Path("data").exists()


def test_the_resume_script_names_the_written_configuration(tmp_path):
    options = with_experiment(parse(["--exp", "start"]), [1])
    folder = tmp_path / "exp" / "asr_start"
    folder.mkdir(parents=True)
    run = context()
    run = type(run)(options, Layout(options), run.log)
    common.write_resume_script(run, folder, 11)
    text = (folder / "run.sh").read_text()
    assert f"--asr_config {options.asr_config}" in text and "--exp start" in text


def test_all_recorded_names_fit_into_a_directory_name():
    with open(REPOSITORY / "results" / "published.csv", encoding="utf-8") as file:
        names = {row["experiment"] for row in csv.DictReader(file)}
    longest = max((n for n in names if " " not in n), key=len)
    options = with_experiment(parse(["--exp", longest, "--lang", "en"]), [1])
    Layout(options).asr_exp.mkdir(parents=True)
