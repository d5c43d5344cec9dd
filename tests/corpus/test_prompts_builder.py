"""The prompts corpus from package files made here, and what happens without tools."""

import gzip
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.prompts import fetch
from espnet_ext.corpus.prompts.builder import build, read_script
from espnet_ext.errors import (
    FormatError,
    MissingInputError,
    OptionError,
    StageFailedError,
    ToolMissingError,
)

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"
)
# figures are read out, so that all items differ
SCRIPT = {
    "vm-goodbye": "Goodbye",
    "beep": "[this is a tone]",
    "digits/1": "one",
    "lost": "There is no audio of this.",
    "long": "A very long one.",
    **{f"news-{n}": f"Item x{n} is about z{n} things" for n in range(40)},
}


@pytest.fixture
def packages(tmp_path):
    """Two small Debian packages with the layout of the real ones."""
    audio, text = tmp_path / "audio_package", tmp_path / "text_package"
    sounds = audio / "usr/share/asterisk/sounds/en_US_f_Allison"
    for key in SCRIPT:
        if key != "lost":
            path = sounds / f"{key}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            seconds = 31 if key == "long" else 1
            soundfile.write(path, np.zeros(8000 * seconds), 8000, subtype="PCM_16")
    soundfile.write(sounds / "unscripted.wav", np.zeros(800), 8000)
    licence = audio / "usr/share/doc/asterisk-core-sounds-en-wav/copyright"
    licence.parent.mkdir(parents=True)
    licence.write_text("License: CC-BY-SA-3.0\n", encoding="utf-8")
    script = text / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    script.parent.mkdir(parents=True)
    lines = "".join(f"{key}: {said}\n" for key, said in SCRIPT.items())
    script.write_bytes(gzip.compress(f"; heading\n\n{lines}".encode()))
    files = []
    for folder in (audio, text):
        (folder / "DEBIAN").mkdir()
        (folder / "DEBIAN/control").write_text(
            f"Package: {folder.name.replace('_', '-')}\nVersion: 1\n"
            "Architecture: all\nMaintainer: nobody <nobody@example.org>\n"
            "Description: test\n",
            encoding="utf-8",
        )
        files.append(tmp_path / f"{folder.name}.deb")
        command = ["dpkg-deb", "-b", "-Znone", str(folder), str(files[-1])]
        subprocess.run(command, check=True, capture_output=True)
    return files


@needs_dpkg
def test_package_files_become_data_sets(tmp_path, packages):
    root = build(tmp_path / "prompts", data_dir=tmp_path / "data", packages=packages)
    sets = {
        name: read_data_dir(tmp_path / f"data/prompts_{name}")
        for name in ("train", "dev", "test")
    }
    texts = {u.utterance_id: u.text for us in sets.values() for u in us}
    assert texts["allison-vm-goodbye"] == "goodbye"
    assert texts["allison-digits-1"] == "one"
    assert len(texts) == len(SCRIPT) - 3
    assert {u.speaker_id for us in sets.values() for u in us} == {"allison"}
    assert sets["test"] and sets["dev"]
    for utterance in sets["test"]:
        assert soundfile.info(utterance.audio_path).samplerate == 8000
    dropped = (root / "dropped.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert dict(line.split("\t") for line in dropped) == {
        "beep": "no speech",
        "long": "longer than 30 s",
        "lost": "no audio",
        "unscripted": "no text",
    }


@needs_dpkg
def test_speaker_and_licence_are_told_beside_the_audio(tmp_path, packages):
    root = build(tmp_path / "prompts", data_dir=tmp_path / "data", packages=packages)
    readme = (root / "README.md").read_text(encoding="utf-8")
    for fact in ("Allison Smith", "CC BY-SA 3.0", "ONE speaker"):
        assert fact in readme
    assert "CC-BY-SA-3.0" in (root / "copyright").read_text(encoding="utf-8")


@needs_dpkg
def test_a_finished_corpus_is_not_fetched_again(tmp_path, packages, monkeypatch):
    root, data = tmp_path / "prompts", tmp_path / "data"
    build(root, data_dir=data, packages=packages)
    before = (root / "prompts.json").stat().st_mtime_ns

    def refuse(*unused):
        raise AssertionError("fetched again")

    monkeypatch.setattr("espnet_ext.corpus.prompts.builder.unpack_packages", refuse)
    shutil.rmtree(data)
    build(root, data_dir=data)  # the data sets come back without the packages
    assert (data / "prompts_train/text").exists()
    assert (root / "prompts.json").stat().st_mtime_ns == before


@needs_dpkg
def test_one_package_alone_is_not_enough(tmp_path, packages):
    with pytest.raises(MissingInputError, match="--deb"):
        build(tmp_path / "new", data_dir=tmp_path / "data", packages=packages[:1])
    assert not (tmp_path / "new").exists() and not (tmp_path / "data").exists()


@needs_dpkg
def test_a_web_page_instead_of_a_package_is_named(tmp_path):
    page = tmp_path / "page.deb"
    page.write_text("<html>404</html>", encoding="utf-8")
    with pytest.raises(FormatError, match="page.deb"):
        build(tmp_path / "new", data_dir=tmp_path / "data", packages=[page])


def test_a_package_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="gone.deb"):
        build(
            tmp_path / "new",
            data_dir=tmp_path / "data",
            packages=[tmp_path / "gone.deb"],
        )


@pytest.mark.parametrize("tool", ["dpkg-deb", "apt-get"])
def test_without_debian_tools_the_message_says_how_to_go_on(
    tmp_path, monkeypatch, tool
):
    monkeypatch.setattr(
        fetch.shutil, "which", lambda name: None if name == tool else "/usr/bin/x"
    )
    with pytest.raises(ToolMissingError) as error:
        build(tmp_path / "new", data_dir=tmp_path / "data")
    assert tool in str(error.value) and "next:" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_says_why_and_how_to_do_it_by_hand(tmp_path, monkeypatch):
    def offline(command, folder):
        return subprocess.CompletedProcess(command, 100, "E: Could not resolve host\n")

    monkeypatch.setattr(fetch.shutil, "which", lambda name: "/usr/bin/x")
    monkeypatch.setattr(fetch, "_run", offline)
    with pytest.raises(StageFailedError) as error:
        build(tmp_path / "new", data_dir=tmp_path / "data")
    assert "Could not resolve host" in str(error.value)
    assert "--deb" in str(error.value)


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(OptionError, match="holds something else"):
        build(tmp_path, data_dir=tmp_path / "data")


def test_a_line_without_colon_is_named(tmp_path):
    path = tmp_path / "script.txt.gz"
    path.write_bytes(gzip.compress(b"; heading\nhello: Hello\nno text here\n"))
    with pytest.raises(FormatError, match="line 3"):
        read_script(path)
