"""Stage 11: what is passed on, and when an older checkpoint is continued."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from espnet_ext.errors import OptionError
from espnet_ext.recipe.stages import train
from espnet_ext.recipe.stages.common import frontend_arguments
from espnet_ext.recipe.state import Decision
from tests.recipe.folders import context


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def value_of(arguments, option):
    return arguments[arguments.index(option) + 1]


def test_normalisation_is_added_at_training_and_by_option_only():
    arguments = train.arguments(context())
    assert value_of(arguments, "--normalize") == "global_mvn"
    assert value_of(arguments, "--normalize_conf").endswith("train/feats_stats.npz")
    for name, kind in (("none", "none"), ("uttmvn", "utterance_mvn")):
        arguments = train.arguments(context("--feats_normalize", name))
        assert value_of(arguments, "--normalize") == kind
        assert "--normalize_conf" not in arguments


def test_the_users_own_arguments_come_last_and_keep_their_quotes():
    words = ["--asr_args", "--max_epoch 3 --joint '{a: 1}'"]
    arguments = train.arguments(context(*words))
    assert arguments[-4:] == ["--max_epoch", "3", "--joint", "{a: 1}"]


def test_a_seed_is_passed_on_only_if_given():
    assert "--seed" not in train.arguments(context())
    assert value_of(train.arguments(context("--seed", "5")), "--seed") == "5"


def test_subword_nmt_pieces_are_words_to_espnet():
    arguments = train.arguments(context("--bpemode", "subword_nmt"))
    assert value_of(arguments, "--token_type") == "word"
    assert value_of(arguments, "--bpemodel") == "none"


@pytest.mark.parametrize(
    "decision, fits",
    [
        (Decision(True, "first"), True),
        (Decision(True, "longer", changed=("max_epoch", "patience")), True),
        (Decision(True, "other model", changed=("max_epoch", "encoder")), False),
        (Decision(True, "other rate", changed=("optim_conf.lr",)), False),
        (Decision(True, "other data", inputs_changed=True), False),
    ],
)
def test_a_checkpoint_is_continued_only_by_settings_that_it_fits(decision, fits):
    assert train.may_resume(decision) is fits


def test_an_older_experiment_is_renamed_and_not_removed(tmp_path):
    exp = tmp_path / "asr_x"
    exp.mkdir()
    (exp / "1epoch.pth").write_bytes(b"weights")
    kept = train.set_aside(exp)
    assert not exp.exists() and (kept / "1epoch.pth").read_bytes() == b"weights"
    assert kept.name.startswith("asr_x.until_")


def write_checkpoint(path, content=b"weights" * 100):
    """An archive with the checksum that the training driver writes."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path, "a") as file:
        file.comment = f"sha256:{digest}".encode()


def test_a_training_continues_from_the_older_checkpoint_if_the_newer_is_damaged(
    tmp_path,
):
    assert not train.continuable(context(), tmp_path)
    newest = tmp_path / "checkpoint.pth"
    write_checkpoint(newest)
    write_checkpoint(tmp_path / "checkpoint.previous.pth")
    newest.write_bytes(newest.read_bytes()[:-200])
    assert train.continuable(context(), tmp_path) and newest.exists()
    (tmp_path / "checkpoint.previous.pth").write_bytes(b"")
    assert not train.continuable(context(), tmp_path)
    names = {path.name for path in tmp_path.iterdir() if "checkpoint" in path.name}
    assert names == {"checkpoint.pth.damaged", "checkpoint.previous.pth.damaged"}


def test_half_a_checkpoint_of_espnet_is_set_aside(tmp_path):
    whole = tmp_path / "checkpoint.pth"
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr("data", b"x" * 1000)
    assert train.whole_checkpoint(context(), tmp_path)
    whole.write_bytes(whole.read_bytes()[:600])
    assert not train.whole_checkpoint(context(), tmp_path)
    assert not whole.exists() and (tmp_path / "checkpoint.pth.damaged").exists()
    assert not train.whole_checkpoint(context(), tmp_path)


def test_the_sampling_rate_of_the_configuration_must_be_that_of_the_audio():
    Path("train_a.yaml").write_text("frontend_conf: {fs: 16000}\n", encoding="utf-8")
    with pytest.raises(OptionError, match="16000.*8k"):
        frontend_arguments(context("--asr_config", "train_a.yaml"))
    same = frontend_arguments(context("--asr_config", "train_a.yaml", "--fs", "16k"))
    assert same == ["--frontend_conf", "fs=16k"]
    Path("train_b.yaml").write_text("frontend: null\n", encoding="utf-8")
    assert frontend_arguments(context("--asr_config", "train_b.yaml")) == []


def test_the_log_gives_size_and_losses(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(
        "    Total Number of model parameters: 17.00 K\n"
        "x: 1epoch results: [train] loss=9.1, time=2, [valid] loss=9.5, cer=0.9\n"
        "x: 2epoch results: [train] loss=3.1, time=2, [valid] loss=4.5, cer=0.5\n",
        encoding="utf-8",
    )
    facts = train.describe_training(log)
    assert facts == {
        "parameters": "17.00 K",
        "epochs": "2",
        "last train": "loss 3.1",
        "last valid": "loss 4.5, cer 0.5",
    }
