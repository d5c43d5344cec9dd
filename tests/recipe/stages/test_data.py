"""Stage 1: local/data.sh is run, its failure explained, sets of two corpora joined."""

import pytest

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.errors import MissingInputError, StageFailedError
from espnet_ext.recipe.stages import data
from espnet_ext.recipe.state import begin, decide, finish
from tests.recipe.folders import context, make_recipe, run_stage


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    (tmp_path / "local").mkdir()
    write_script("exit 0")
    return tmp_path


def write_script(body: str) -> None:
    data.SCRIPT.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")


def test_options_for_the_script_are_passed_on_with_their_quotes(recipe):
    write_script('printf "%s\\n" "$@" > arguments; test -x "${python}"')
    run_stage(1, "--local_data_opts", "--stage 2 --data_dir 'a b'")
    assert (recipe / "arguments").read_text() == "--stage\n2\n--data_dir\na b\n"


def test_what_the_script_says_of_a_missing_corpus_reaches_the_user(recipe):
    write_script('echo "error: /corpora/LDC97S62: folder not found" >&2; exit 1')
    with pytest.raises(StageFailedError, match="/corpora/LDC97S62: folder not found"):
        run_stage(1)


def test_a_missing_script_is_named(recipe):
    data.SCRIPT.unlink()
    with pytest.raises(MissingInputError, match="local/data.sh"):
        run_stage(1)


def test_folders_named_by_the_environment_are_settings(recipe, monkeypatch):
    (recipe / "db.sh").write_text('SWBD="${SWBD:-}"\nRT03=\n', encoding="utf-8")
    (unit,) = data.units(context())
    begin(unit)
    finish(unit, 0.0)
    assert not decide(data.units(context())[0]).run
    monkeypatch.setenv("SWBD", "/corpora/swbd")
    assert "SWBD (none) -> /corpora/swbd" in decide(data.units(context())[0]).reason


def test_training_data_of_both_corpora_is_combined(recipe, monkeypatch):
    from tests.recipe.folders import make_set

    for name in ("prompts_train", "prompts_dev", "prompts_test"):
        make_set(recipe, name, 2)
    monkeypatch.setattr(data, "build_corpus", lambda context, kind: None)
    run_stage(1, "--corpus", "embedded+prompts")
    both = {u.utterance_id for u in read_data_dir("data/train_and_prompts")}
    parts = [read_data_dir(f"data/{name}") for name in ("train", "prompts_train")]
    assert both == {u.utterance_id for part in parts for u in part}
