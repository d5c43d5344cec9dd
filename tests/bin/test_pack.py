"""A packed model: what is in it, and that it recognizes as the trained one does."""

import subprocess
import sys
import zipfile

import pytest
import torch
import yaml
from espnet2.main_funcs.pack_funcs import unpack
from safetensors.torch import load

import espnet_ext
from espnet_ext.bin import pack
from espnet_ext.errors import FormatError
from espnet_ext.inference.speech2text import Speech2Text
from espnet_ext.interop.packed import unpack_archive
from tests.inference.models import noise, saved_model

RESULTS = "# Results\n## WER\n|set|WER|\n|---|---|\n|dev|12.3|\n"


@pytest.fixture
def packed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exp = tmp_path / "exp" / "asr_tiny"
    exp.mkdir(parents=True)
    saved = saved_model(exp)
    (exp / "RESULTS.md").write_text(RESULTS, encoding="utf-8")
    options = [
        *("--asr_train_config", "exp/asr_tiny/config.yaml"),
        *("--asr_model_file", "exp/asr_tiny/model.pth"),
        *(
            "--results",
            "exp/asr_tiny/RESULTS.md",
            "--option",
            "exp/asr_tiny/RESULTS.md",
        ),
        *("--data_note", "Made-up noise.", "--outpath", "exp/asr_tiny/tiny.zip"),
    ]
    assert pack.main(options) == 0
    return saved, exp / "tiny.zip"


def test_it_recognizes_as_the_trained_model(packed):
    saved, archive = packed
    wave = noise(8000)
    ours = espnet_ext.Speech2Text.from_pretrained(str(archive), beam_size=4)
    trained = Speech2Text(**saved.files(), beam_size=4)
    assert ours(wave)[0][:3] == trained(wave)[0][:3]
    assert ours(wave)[0][2], "the random weights emit nothing"


def test_the_archive_holds_weights_twice_results_and_a_card(packed):
    saved, archive = packed
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        card = file.read("README.md").decode()
        tensors = load(file.read("exp/asr_tiny/model.safetensors"))
        assert "exp/asr_tiny/RESULTS.md" in names and "meta.yaml" in names
    state = saved.model.state_dict()
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], state[name]) for name in state)
    for said in ("# asr_tiny", "|dev|12.3|", "Made-up noise.", "Licence", "SHA-256"):
        assert said in card
    assert not (archive.parent / "model.safetensors").exists()


def test_espnets_own_unpacking_reads_it(packed, tmp_path):
    files = unpack(packed[1], tmp_path / "theirs")
    assert set(files) == {"asr_train_config", "asr_model_file"}
    assert torch.load(files["asr_model_file"], weights_only=True)


def test_files_outside_the_folder_are_refused(packed, tmp_path, monkeypatch, capsys):
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    options = [*packed[0].options(), "--outpath", "m.zip"]
    assert pack.main(options) == 1
    assert "outside the current folder" in capsys.readouterr().err


def test_an_archive_that_names_files_elsewhere_is_refused(tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text("a: 1\n")
    meta = {"yaml_files": {"asr_train_config": str(secret)}, "files": {}}
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        file.writestr("meta.yaml", yaml.safe_dump(meta))
    with pytest.raises(FormatError, match="outside the archive"):
        unpack_archive(tmp_path / "m.zip", tmp_path / "out")


def test_importing_the_package_is_light():
    script = (
        "import sys, espnet_ext\n"
        "assert 'torch' not in sys.modules and 'espnet2' not in sys.modules\n"
        "assert not hasattr(espnet_ext, 'speech2text')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
