"""Configuration files are checked before anything runs."""

import pytest

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.recipe.config import (
    DECODE_SOURCES,
    LM_SOURCES,
    RESERVED,
    TRAIN_SOURCES,
    check_config,
    known_keys,
    settings_of,
)
from tests.shared import REPOSITORY


def write(folder, text, name="train_x.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text, error, expected",
    [
        ("encoder: rnn\nencodr_conf:\n  a: 1\n", OptionError, "line 2.*encoder_conf"),
        ("a: [1\nb: 2\n", FormatError, "line 2"),
        ("optim_conf:\n  lr: 1e-3\n", FormatError, "line 2.*1.0e-3"),
        ("optim: adam\nseed: 1\noptim: sgd\n", FormatError, "line 3.*twice"),
        ("- encoder\n", FormatError, "list"),
        ("encoder_conf: 5\n", OptionError, "mapping"),
        ("normalize: global_mvn\n", OptionError, "feats_normalize"),
        ("token_list: x\n", OptionError, "stage 5"),
        ("seed: !!python/name:os.system\n", FormatError, "not valid YAML"),
    ],
)
def test_a_wrong_training_configuration_is_refused(tmp_path, text, error, expected):
    with pytest.raises(error, match=f"(?s){expected}") as caught:
        check_config(write(tmp_path, text), TRAIN_SOURCES, RESERVED)
    assert "train_x.yaml" in str(caught.value)


def test_a_missing_configuration_names_a_similar_one(tmp_path):
    write(tmp_path, "seed: 1\n", "train_demo.yaml")
    with pytest.raises(MissingInputError, match="train_demo.yaml"):
        check_config(tmp_path / "train_dmo.yaml", TRAIN_SOURCES)


def test_the_configurations_of_the_repository_pass():
    conf = REPOSITORY / "conf"
    for path in [*conf.glob("train_*.yaml"), *conf.glob("decode_*.yaml")]:
        sources = TRAIN_SOURCES
        if path.name.startswith("decode_"):
            sources = DECODE_SOURCES
        elif path.name.startswith("train_lm"):
            sources = LM_SOURCES
        check_config(path, sources, RESERVED)


@pytest.mark.slow
def test_no_option_of_espnets_own_parser_is_unknown():
    """The parser itself is the oracle for the keys found by reading the sources."""
    from espnet2.bin.asr_inference import get_parser as decode_parser
    from espnet2.tasks.asr import ASRTask
    from espnet2.tasks.lm import LMTask

    parsers = (
        (ASRTask.get_parser(), TRAIN_SOURCES),
        (LMTask.get_parser(), LM_SOURCES),
        (decode_parser(), DECODE_SOURCES),
    )
    for parser, sources in parsers:
        options = {action.dest for action in parser._actions} - {"help", "config"}
        missing = options - known_keys(sources) - {"print_config"}
        assert not missing


def test_settings_are_flat_and_arguments_override_the_file(tmp_path):
    path = write(tmp_path, "optim: adam\noptim_conf:\n  lr: 0.1\n  eps: 0.5\n")
    settings = settings_of(str(path), "--optim sgd --optim_conf lr=0.2 --max_epoch=3")
    assert settings == {
        "optim": "sgd",
        "optim_conf.lr": "0.2",
        "optim_conf.eps": 0.5,
        "max_epoch": "3",
    }
    assert settings_of(str(path), "", ["optim"]) == {"optim": "adam"}
