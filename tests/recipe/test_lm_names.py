"""Names and refusals around language models."""

from pathlib import Path

import pytest

from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.recipe.parse import parse, skipped_stages
from espnet_ext.recipe.stages import decode, stage
from espnet_ext.recipe.state import decide
from tests.recipe.folders import context


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_ngram_is_part_of_the_decode_name_as_in_asr_sh():
    ngram = context("--use_ngram", "true", "--ngram_exp", "exp/ngram").layout
    assert ngram.decode_name == ("inference_ngram_ngram_4gram_asr_model_valid.acc.ave")
    both = ("--use_lm", "true", "--use_ngram", "true", "--ngram_num", "3")
    assert context(*both).layout.decode_name == (
        "inference_lm_lm_train_en_bpe22_valid.loss.ave"
        "_ngram_ngram_en_bpe22_3gram_asr_model_valid.acc.ave"
    )


def test_stage_nine_runs_if_an_ngram_is_wanted():
    assert skipped_stages(parse([]))[9] == "--use_ngram false"
    wanted = skipped_stages(parse(["--use_ngram", "true", "--use_lm", "false"]))
    assert 9 not in wanted and {6, 7, 8} <= set(wanted)


def test_a_model_of_words_is_refused_for_a_recognizer_of_word_pieces():
    for kind in ("--use_lm", "--use_ngram"):
        words = context(kind, "true", "--use_word_lm", "true")
        with pytest.raises(OptionError, match="cannot score bpe units"):
            decode.model_files(words)
    same = context("--use_lm", "true", "--use_word_lm", "true", "--token_type", "word")
    assert len(decode.model_files(same)[2]) == 2


def test_a_missing_ngram_names_the_stage_that_makes_it():
    with pytest.raises(MissingInputError) as caught:
        decode.units(context("--use_ngram", "true"))
    assert caught.value.next_step == "--stage 9"


def test_another_token_list_makes_the_ngram_again():
    words = ("--use_ngram", "true")
    (unit,) = stage(9).units(context(*words))
    for path in unit.inputs:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("a", encoding="utf-8")
    first = decide(unit)
    assert first.run and str(unit.target) == "exp/ngram_en_bpe22/4gram.arpa"
    assert {Path(path).name for path in unit.inputs} == {
        *("lm_train.txt", "text", "tokens.txt", "bpe.model")
    }
