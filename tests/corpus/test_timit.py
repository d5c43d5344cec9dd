"""TIMIT: a tiny corpus in the layout of NLTK's sample."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.timit import fold, prepare, read_labels
from espnet_ext.errors import AudioError, FormatError, MissingInputError, OptionError
from tests.shared import REPOSITORY

# Lee and Hon 1989, table I
PHONES = (
    """iy ih eh ae ix ax ah uw ux uh ao aa ey ay oy aw ow l el r y w er axr m em n en
nx ng eng ch jh dh b d dx g p t k z zh v f th s sh hh hv pcl tcl kcl bcl dcl gcl epi h#
pau q ax-h""".split()
)


@pytest.fixture
def sample(tmp_path):
    """Two speakers with ten sentences each."""
    rng = np.random.default_rng(1)
    for speaker in ("dr1-fvmh0", "dr8-mslb0"):
        folder = tmp_path / "nltk_data/corpora/timit" / speaker
        folder.mkdir(parents=True)
        for number in range(10):
            stem = folder / f"s{'aix'[number % 3]}{number}"
            soundfile.write(f"{stem}.wav", rng.uniform(-0.1, 0.1, 4000), 16000)
            phones = ["h#", "sh", "iy", "hv", "q", "bcl", "b", "h#"]
            lines = [f"{n * 500} {n * 500 + 500} {p}\n" for n, p in enumerate(phones)]
            stem.with_suffix(".phn").write_text("".join(lines))
            stem.with_suffix(".wrd").write_text("500 1500 she\n1500 3500 had\n")
            stem.with_suffix(".txt").write_text("0 4000 She had.\n")
    return tmp_path / "nltk_data/corpora/timit"


def test_nine_tenths_are_for_training_and_phones_are_the_text(sample, tmp_path):
    prepare(sample, tmp_path / "data")
    train, dev = (read_data_dir(tmp_path / "data" / name) for name in ("train", "dev"))
    assert (len(train), len(dev)) == (18, 2)
    assert train[0].utterance_id == "fvmh0_sa0" and train[0].speaker_id == "fvmh0"
    assert train[0].text == "h# sh iy hv q bcl b h#"
    assert {u.utterance_id for u in dev} == {"mslb0_sx5", "mslb0_sx8"}
    assert soundfile.info(dev[0].audio_path).frames == 4000


def test_fewer_classes_and_words_can_be_had(sample, tmp_path):
    prepare(sample, tmp_path / "data", "phones", 39)
    assert read_data_dir(tmp_path / "data/dev")[0].text == "sil sh iy hh sil b sil"
    prepare(sample, tmp_path / "data", "words")
    assert read_data_dir(tmp_path / "data/dev")[0].text == "she had"


def test_phones_fold_to_as_many_classes_as_named():
    assert len(PHONES) == len(set(PHONES)) == 61
    for number in (61, 48, 39):
        assert len(set(fold(PHONES, number))) == number
    with pytest.raises(OptionError, match="61, 48 or 39"):
        fold(PHONES, 40)


def test_what_is_missing_or_wrong_is_named(sample, tmp_path):
    with pytest.raises(MissingInputError, match="no TIMIT sample"):
        prepare(tmp_path, tmp_path / "data")
    (tmp_path / "x.phn").write_text("0 500 h#\n500 x sh\n")
    with pytest.raises(FormatError, match="x.phn line 2"):
        read_labels(tmp_path / "x.phn")
    (sample / "dr1-fvmh0/sa0.wrd").unlink()
    with pytest.raises(MissingInputError, match="sa0.wrd"):
        prepare(sample, tmp_path / "data", "words")
    (sample / "dr1-fvmh0/sa0.wav").write_bytes(b"")
    with pytest.raises((FormatError, AudioError), match="sa0.wav"):
        prepare(sample, tmp_path / "data")


def test_the_script_takes_the_folder_from_db_sh(sample, tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "local").symlink_to(REPOSITORY / "local")
    environment = {**os.environ, "python": sys.executable}
    environment["PYTHONPATH"] = str(REPOSITORY)

    def run(*options):
        return subprocess.run(
            ["local/data_timit.sh", *options],
            cwd=recipe,
            env=environment,
            capture_output=True,
            text=True,
        )

    assert "no db.sh" in run().stderr
    (recipe / "db.sh").write_text(f'TIMIT="{sample}"\n')
    done = run("--phones", "48")
    assert done.returncode == 0, done.stderr
    assert read_data_dir(recipe / "data/timit/dev")[0].text == "sil sh iy hh vcl b sil"
