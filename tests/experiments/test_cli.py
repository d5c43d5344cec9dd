"""``espnet-ext exp``: answers at once, in words, and never with a traceback."""

import subprocess
import sys
import time

import pytest
import yaml

from espnet_ext.cli import main
from espnet_ext.experiments.catalogue import load_catalogue
from tests.shared import REPOSITORY

BEST = (
    "conformer_ln_pre10a_d384_h6_cnnblstmf2_chunk50_fix245_wdro_specaugweia_attdrop01_"
    "posdrop01_aux48ff_mhsapinit05_lsxx01"
)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def screen(capsys, *words, status=0):
    assert main(["exp", *words]) == status
    return capsys.readouterr().out


def test_the_help_has_every_token_of_the_catalogue(capsys):
    text = screen(capsys, "--help")
    for switch in load_catalogue().switches.values():
        assert f"  {switch.token.replace('{}', '...')} " in text
        assert switch.meaning in text


def test_list_sorts_by_the_originals_result(capsys):
    lines = screen(capsys, "list", "--sort", "hub5e_00", "--limit", "2").splitlines()
    assert lines[1].split() == ["16.8", "15.7", "19.4", BEST]
    assert "152" not in lines[1] and "selected on hub5e_00" in lines[-1]


def test_list_filters_by_token_switch_and_their_opposite(capsys):
    zoneout = screen(capsys, "list", "zoneout", "conformer").splitlines()
    names = [line.split()[-1] for line in zoneout[1:-2]]
    assert len(names) == 4 and all("declstmz" in name for name in names)
    without = screen(capsys, "list", "declstmz", "!attention").splitlines()
    assert len(without) == len(zoneout) - 1


def test_list_knows_all_experiments(capsys):
    assert screen(capsys, "list").splitlines()[-1].startswith("153 experiments")


def test_list_with_a_filter_that_fits_nothing_names_the_nearest(capsys):
    assert main(["exp", "list", "specagu"]) == 1
    assert "specaug" in capsys.readouterr().err


def test_show_prints_yaml_with_the_origin_of_each_value(capsys):
    text = screen(capsys, "show", BEST)
    config = yaml.safe_load(text)
    assert config["encoder_conf"]["num_heads"] == 6
    assert config["experiment_conf"]["name"] == BEST
    assert "num_heads: 6  # h6" in text
    assert "LayerNorm instead of BatchNorm" in text


def test_show_with_set_changes_one_value(capsys):
    text = screen(capsys, "show", "start", "--set", "encoder.dropout=0.2", "--plain")
    assert yaml.safe_load(text)["encoder_conf"]["dropout"] == 0.2
    assert "  # " not in text


def test_diff_speaks_the_catalogues_words(capsys):
    text = screen(capsys, "diff", "b1", "b1_attdrop02")
    assert "- attdrop01" in text and "+ attdrop02" in text
    assert "Dropout of the attention weights (0.2)" in text
    assert text.count("encoder_conf.attention_dropout") == 1
    assert screen(capsys, "diff", "b1", "b1") == "no difference\n"


def test_check_shows_growth_and_rates_and_that_nothing_is_missing(capsys):
    text = screen(capsys, "check", "--no_model", "ctc_conformer_pre10")
    assert "parts: all implemented" in text
    assert "from sub-epoch 61 on" in text
    stages = [line.split() for line in text.splitlines() if line.endswith("%")]
    # reference/models.md d.5
    assert stages[-4:] == [
        ["1", "2", "50%"],
        ["11", "4", "60%"],
        ["21", "8", "80%"],
        ["31", "12", "100%"],
    ]


def test_check_of_a_complete_configuration_finds_all_parts(capsys):
    for name, layers in (("demo", 2), ("competitive", 16)):
        text = screen(capsys, "check", "--no_model", f"conf/train_{name}.yaml")
        assert "parts: all implemented" in text
        assert f"growth: none, {layers} layers" in text


@pytest.mark.parametrize(
    "words, message",
    [
        (["show", "conformer_attdrp01"], "'attdrop01'"),
        (["show", "conf/none.yaml"], "no such file"),
        (["show", "start", "--set", "dropout"], "PATH=VALUE"),
        (["show", "start", "--set", "encoder.dropout=!!python/name:os.system"], "tag"),
        (["shwo", "start"], "espnet-ext exp show"),
        (["show", "start", "--plian"], "--plain"),
        (["show", "start", "--conf", "tests"], "regimes.yaml"),
        (["diff", "start"], "other"),
    ],
)
def test_wrong_input_ends_with_a_message(capsys, words, message):
    assert main(["exp", *words]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_list_show_and_diff_import_neither_torch_nor_espnet_nor_numpy():
    program = (
        "import sys; from espnet_ext.cli import main\n"
        "for words in (['list'], ['show', 'start'], ['diff', 'start', 'orig'],"
        " ['check', '--no_model', 'start']): main(['exp', *words])\n"
        "loaded = {'torch', 'espnet2', 'numpy'} & set(sys.modules)\n"
        "sys.exit(' '.join(loaded) or 0)"
    )
    start = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert finished.stderr.strip() == "" and finished.returncode == 0
    assert time.monotonic() - start < 60  # a hang, not a timing


@pytest.mark.slow
def test_the_model_of_start_has_the_parameters_that_the_original_logged(capsys):
    """148,865,731 (reference/models.md b), and one unused embedding row for blank."""
    text = screen(capsys, "check", "start")
    assert f"parameters: {148_865_731 + 256:,}" in text


@pytest.mark.slow
def test_check_finds_an_error_that_only_building_shows(capsys, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("base: start\ndecoder_conf: {joint: {type: other}}\n")
    assert main(["exp", "check", str(path)]) == 1
    assert "joint type 'other'" in capsys.readouterr().err
