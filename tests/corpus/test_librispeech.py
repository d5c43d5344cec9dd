"""LibriSpeech: a tiny release in the same layout, read through torchaudio."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet_ext.cli import main
from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.librispeech import prepare, some_of
from espnet_ext.errors import MissingInputError
from tests.shared import REPOSITORY

PARTS = {
    "train-clean-100": {"19/198": 3, "26/495": 2},
    "train-clean-360": {"14/208": 2},
    "train-other-500": {"20/205": 1},
    "dev-clean": {"1272/128104": 3},
    "dev-other": {"116/288045": 3},
    "test-clean": {"1089/134686": 2},
    "test-other": {"1688/142285": 1},
}


@pytest.fixture
def release(tmp_path):
    """A folder with LibriSpeech in it: chapters with FLAC files and one transcript."""
    rng = np.random.default_rng(1)
    for part, chapters in PARTS.items():
        for chapter, count in chapters.items():
            folder = tmp_path / "corpora" / "LibriSpeech" / part / chapter
            folder.mkdir(parents=True)
            stem, lines = chapter.replace("/", "-"), []
            for number in range(count):
                name = f"{stem}-{number:04d}"
                samples = rng.uniform(-0.1, 0.1, 8000)
                soundfile.write(folder / f"{name}.flac", samples, 16000)
                lines.append(f"{name} CHAPTER ONE NUMBER {'AB'[number % 2]}\n")
            (folder / f"{stem}.trans.txt").write_text("".join(lines))
    return tmp_path / "corpora"


def ids(folder):
    return [u.utterance_id for u in read_data_dir(folder)]


@pytest.mark.slow
def test_all_sets_of_both_sizes_are_made(release, tmp_path):
    data = tmp_path / "data"
    for size, count in (("100", 5), ("960", 8)):
        prepare(release, data, size, dev_utterances=4)
        assert len(ids(data / f"train_{size}")) == count
    whole = ids(data / "dev_clean") + ids(data / "dev_other")
    assert len(ids(data / "dev")) == 4 and set(ids(data / "dev")) < set(whole)
    first = read_data_dir(data / "test_clean")[0]
    assert first.utterance_id == "1089-134686-0000" and first.speaker_id == "1089"
    assert first.text == "CHAPTER ONE NUMBER A" and not (data / "dev/segments").exists()
    assert soundfile.info(first.audio_path).frames == 8000
    assert len(ids(data / "test_other")) == 1


@pytest.mark.slow
def test_the_release_itself_may_be_named_and_all_of_dev_taken(release, tmp_path):
    sets = prepare(release / "LibriSpeech", tmp_path / "data", "100", 0)
    assert len(sets["dev"]) == 6


def test_the_choice_for_selection_does_not_depend_on_the_order(release, tmp_path):
    from espnet_ext.corpus.kaldi_dir import Utterance

    everything = [Utterance(f"u{n}", f"u{n}", "s", "a", "x.flac") for n in range(50)]
    chosen = some_of(everything, 10)
    assert some_of(everything[::-1], 10) == chosen and len(chosen) == 10
    assert chosen != everything[:10]


@pytest.mark.slow
def test_what_is_missing_is_named(release, tmp_path, capsys):
    with pytest.raises(MissingInputError, match="no folder LibriSpeech"):
        prepare(tmp_path / "data", tmp_path / "data", "100")
    (release / "LibriSpeech/dev-other/116/288045/116-288045.trans.txt").write_text("")
    command = ["data", "librispeech", "--root", str(release), "--size", "100"]
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 1
    error = capsys.readouterr().err
    assert "dev-other" in error and "unpack dev-other.tar.gz" in error
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_the_script_takes_the_folder_from_db_sh(release, tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "local").symlink_to(REPOSITORY / "local")
    (recipe / "db.sh").write_text(f'LIBRISPEECH="{release}"\n')
    done = subprocess.run(
        ["local/data_librispeech.sh", "--size", "100"],
        cwd=recipe,
        env={**os.environ, "python": sys.executable, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "train_100" in done.stdout
    assert len(ids(recipe / "data/librispeech/train_100")) == 5
