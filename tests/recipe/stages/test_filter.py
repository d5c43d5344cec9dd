"""Stage 4: usable training utterances and the text of the language model."""

import pytest

from espnet_ext.corpus.kaldi_dir import read_data_dir, write_data_dir
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines
from tests.recipe.folders import make_recipe, run_stage


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_recipe(tmp_path)


def change_train(**changes):
    """Write data/train with some fields of some utterances replaced."""
    from dataclasses import replace

    utterances = read_data_dir("data/train")
    for position, fields in changes.items():
        index = int(position[1:])
        utterances[index] = replace(utterances[index], **fields)
    write_data_dir("data/train", utterances)
    return [u.utterance_id for u in utterances]


def test_short_long_and_empty_utterances_are_dropped_and_named(recipe):
    ids = change_train(
        u0={"end_s": 0.05},
        u1={"text": ""},
        u2={"end_s": read_data_dir("data/train")[2].start_s + 0.9},
    )
    run_stage(3)
    facts = run_stage(4, "--max_wav_duration", "0.8")
    kept = [u.utterance_id for u in read_data_dir("dump/raw/train")]
    assert kept == ids[3:]
    assert "1 too short, 1 too long, 1 without words" in facts["train"]
    log = (recipe / "exp/log/test.log").read_text(encoding="utf-8")
    assert all(f"{name} dropped" in log for name in ids[:3])
    samples = read_lines("dump/raw/train/utt2num_samples")
    assert [line.split()[0] for line in samples] == kept


def test_nothing_left_is_an_error(recipe):
    run_stage(3)
    with pytest.raises(FormatError, match="no utterance is left"):
        run_stage(4, "--min_wav_duration", "5")


def test_the_text_of_the_language_model_is_what_was_prepared_or_the_transcripts(
    recipe,
):
    run_stage(3)
    run_stage(4)
    transcripts = read_lines("data/train/text")
    assert read_lines("dump/raw/lm_train.txt") == transcripts
    (recipe / "data/lm").mkdir()
    (recipe / "data/lm/text").write_text("a one two\nb\nc three\n", encoding="utf-8")
    run_stage(4)
    assert read_lines("dump/raw/lm_train.txt") == ["a one two", "c three"]
    run_stage(4, "--lm_train_text", "data/train/text data/dev/text")
    expected = transcripts + read_lines("data/dev/text")
    assert read_lines("dump/raw/lm_train.txt") == expected


def test_each_id_of_the_language_models_text_comes_once(recipe):
    """Two texts with the same ids stop ESPnet's training of the language model."""
    run_stage(3)
    (recipe / "a").write_text("x yes\nx no\ny yes\nx-2 or\n", encoding="utf-8")
    (recipe / "b").write_text("x yes\nx no\nz yes\n", encoding="utf-8")
    facts = run_stage(4, "--lm_train_text", "a b")
    expected = ["x yes", "x-2 no", "y yes", "x-2-2 or", "z yes"]
    assert read_lines("dump/raw/lm_train.txt") == expected
    assert "5 utterances, 2 left out as repeated, 2 renamed" in facts["text for the LM"]


def test_a_frequent_sentence_can_be_limited(recipe):
    run_stage(3)
    lines = [f"u{n} {'yeah' if n % 2 else 'uh-huh'}\n" for n in range(10)]
    (recipe / "a").write_text("".join(lines), encoding="utf-8")
    run_stage(4, "--lm_train_text", "a", "--lm_max_same_text", "2")
    kept = [line.split()[0] for line in read_lines("dump/raw/lm_train.txt")]
    assert kept == ["u0", "u1", "u2", "u3"]
