"""Stage 5: token lists; sentencepiece and subword-nmt are the oracles."""

import pytest

from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe import subword_nmt
from tests.recipe.folders import make_recipe, run_stage


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    run_stage(3)
    run_stage(4)
    return tmp_path


def texts(path):
    return [line.partition(" ")[2] for line in read_lines(path)]


@pytest.mark.parametrize("mode", ["unigram", "bpe"])
def test_the_list_has_the_pieces_of_the_model_between_the_special_tokens(recipe, mode):
    import sentencepiece

    run_stage(5, "--bpemode", mode)
    folder = recipe / f"data/en_token_list/bpe_{mode}22"
    tokens = read_lines(folder / "tokens.txt")
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens)) == 22
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    for text in texts("dump/raw/train/text"):
        pieces = model.encode(text, out_type=str)
        assert set(pieces) <= set(tokens[2:-1])
        assert model.decode(pieces) == text


def test_too_many_pieces_are_refused_with_the_largest_number_that_works(recipe):
    with pytest.raises(OptionError) as caught:
        run_stage(5, "--nbpe", "5000")
    largest = str(caught.value.next_step).split()[-1]
    run_stage(5, "--nbpe", largest)
    with pytest.raises(OptionError):
        run_stage(5, "--nbpe", str(int(largest) + 1))


def test_too_few_pieces_are_refused(recipe):
    with pytest.raises(OptionError, match="3 word pieces"):
        run_stage(5, "--nbpe", "3")


def test_subword_nmt_texts_are_cut_and_can_be_joined_again(recipe):
    run_stage(5, "--bpemode", "subword_nmt", "--nbpe", "10")
    folder = recipe / "data/en_token_list/bpe_subword_nmt10"
    tokens = read_lines(folder / "tokens.txt")
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens))
    for name in ("train", "dev"):
        cut, whole = texts(folder / "text" / name), texts(f"dump/raw/{name}/text")
        assert [subword_nmt.join(line) for line in cut] == whole
        if name == "train":
            assert {piece for line in cut for piece in line.split()} <= set(tokens)
    assert len(read_lines(folder / "bpe.codes")) == 10 + 1  # the first is the version


def test_joining_leaves_words_without_marks_alone():
    assert subword_nmt.join("the h@@ ou@@ se  is") == "the house is"
    assert subword_nmt.join("cut at the end@@") == "cut at the end"
    assert subword_nmt.join("") == ""


@pytest.mark.slow
def test_characters_and_words_are_counted_by_espnet(recipe):
    run_stage(5, "--token_type", "char")
    characters = read_lines("data/en_token_list/char/tokens.txt")
    assert characters[:2] == ["<blank>", "<unk>"] and characters[-1] == "<sos/eos>"
    spoken = set("".join(texts("dump/raw/lm_train.txt"))) - {" "} | {"<space>"}
    assert set(characters[2:-1]) == spoken
    run_stage(5, "--token_type", "word")
    words = read_lines("data/en_token_list/word/tokens.txt")
    expected = {w for text in texts("dump/raw/lm_train.txt") for w in text.split()}
    assert set(words[2:-1]) == expected
