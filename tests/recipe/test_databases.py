"""Only the test sets of releases that somebody owns are asked for."""

import pytest

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.recipe.databases import given_roots, with_owned_tests
from espnet_ext.recipe.parse import parse
from espnet_ext.recipe.stages.data import require_set
from tests.shared import REPOSITORY


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SWBD", "RT03", "HUB5E01", "EVAL2000_AUDIO", "EVAL2000_TRANS"):
        monkeypatch.delenv(name, raising=False)
    text = (REPOSITORY / "egs2/swbd_repro/db.sh").read_text()
    (tmp_path / "db.sh").write_text(text)
    return tmp_path


def chosen(*words):
    said = []
    return with_owned_tests(parse(words), said.append).test_sets, said


def test_roots_come_from_the_file_and_the_environment(recipe, monkeypatch):
    assert given_roots() == {}
    text = (recipe / "db.sh").read_text()
    text = text.replace('SWBD="${SWBD:-}"', 'SWBD="${SWBD:-/corpora/a b}"')
    (recipe / "db.sh").write_text(text)
    monkeypatch.setenv("RT03", "/corpora/rt03")
    assert given_roots() == {"swbd": "/corpora/a b", "rt03": "/corpora/rt03"}


def test_sets_that_are_not_owned_are_left_out_and_named(recipe, monkeypatch):
    monkeypatch.setenv("RT03", "/corpora/rt03")
    monkeypatch.setenv("EVAL2000_AUDIO", "/corpora/hub5")
    sets, said = chosen("--corpus", "ldc")
    assert sets == "rt03s"
    assert said == [
        "test set hub5e_00 left out: LDC2002T43 not named in db.sh",
        "test set hub5e_01 left out: LDC2002S13 not named in db.sh",
    ]


def test_chosen_sets_and_other_corpora_are_left_alone(recipe, monkeypatch):
    monkeypatch.setenv("RT03", "/corpora/rt03")
    assert chosen("--test_sets", "mine") == ("mine", [])
    assert chosen("--corpus", "embedded") == ("", [])
    assert chosen("--local_data_opts", "--corpus-root /corpora") == ("", [])
    (recipe / "db.sh").unlink()
    assert chosen("--corpus", "ldc") == ("", [])


def test_a_broken_file_is_named(recipe):
    (recipe / "db.sh").write_text('SWBD="${SWBD:-\n')
    with pytest.raises(FormatError, match="db.sh: bash cannot read it"):
        given_roots()


def test_a_set_that_was_not_made_lists_those_that_were(recipe):
    for name in ("train_nodup", "train_dev"):
        (recipe / "data" / name).mkdir(parents=True)
        (recipe / "data" / name / "wav.scp").write_text("a b.wav\n")
    require_set(recipe / "data" / "train_dev")
    with pytest.raises(MissingInputError, match="set train(?s:.*)train_dev, train_nod"):
        require_set(recipe / "data" / "train")
