"""Stage 5: token lists; sentencepiece and subword-nmt are the oracles."""

import ast
import collections
from pathlib import Path

import pytest

from espnet_ext.errors import FormatError, OptionError
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


NMT = ("--bpemode", "subword_nmt", "--nbpe", "10")
NMT_FOLDER = Path("data/en_token_list/bpe_subword_nmt10")


def original_vocabulary(codes, sentences):
    """Labels and numbers as the original's tools make them of merges and a text."""
    from subword_nmt.apply_bpe import BPE

    with open(codes, encoding="utf-8") as file:
        bpe = BPE(file)
    counts = collections.Counter(
        piece for text in sentences for piece in bpe.process_line(text).split()
    )
    order = sorted((-count, piece) for piece, count in counts.items())
    pieces = {piece: number for number, (_, piece) in enumerate(order, start=2)}
    return {"<s>": 0, "</s>": 0, "UNK": 1, **pieces}


def test_the_vocabulary_is_the_originals_and_our_ids_follow_it(recipe):
    run_stage(5, *NMT)
    written = ast.literal_eval((NMT_FOLDER / "bpe.vocab").read_text())
    sentences = texts("dump/raw/train/text")
    assert written == original_vocabulary(NMT_FOLDER / "bpe.codes", sentences)
    tokens = read_lines(NMT_FOLDER / "tokens.txt")
    assert len(tokens) == max(written.values()) + 1 + 1  # one more: blank
    for label, number in written.items():
        if number > 1:
            assert tokens[number] == label
    assert subword_nmt.read_vocabulary(NMT_FOLDER / "bpe.vocab") == tokens[2:-1]


def test_merges_and_vocabulary_that_exist_give_the_same_pieces(recipe):
    run_stage(5, *NMT)
    first = {path.name: path.read_text() for path in NMT_FOLDER.glob("*.*")}
    cut = (NMT_FOLDER / "text/train").read_text()
    for name in ("bpe.codes", "bpe.vocab"):
        (recipe / name).write_text(first[name])
    for given in (("--bpe_codes", "bpe.codes"), ("--bpe_vocab", "bpe.vocab")):
        words = (*NMT, "--bpe_codes", "bpe.codes", *given)
        run_stage(5, *words)
        assert (NMT_FOLDER / "tokens.txt").read_text() == first["tokens.txt"]
        assert (NMT_FOLDER / "text/train").read_text() == cut
    with pytest.raises(OptionError, match="10 merges, but --nbpe is 9"):
        run_stage(5, *NMT[:2], "--nbpe", "9", "--bpe_codes", "bpe.codes")
    with pytest.raises(OptionError, match="without --bpe_codes"):
        run_stage(5, *NMT, "--bpe_vocab", "bpe.vocab")


def test_a_merge_that_gives_a_piece_outside_the_vocabulary_is_undone(recipe):
    run_stage(5, *NMT)
    sentences = texts("dump/raw/train/text")
    pieces = subword_nmt.read_vocabulary(NMT_FOLDER / "bpe.vocab")
    characters = {c + end for t in sentences for c in t for end in ("", "@@")} - {" "}
    longest, *_ = sorted(set(pieces) - characters, key=len, reverse=True)
    rest = sorted({*pieces, *characters} - {longest})
    subword_nmt.write_vocabulary(rest, recipe / "bpe.vocab")
    (recipe / "bpe.codes").write_text((NMT_FOLDER / "bpe.codes").read_text())
    run_stage(5, *NMT, "--bpe_codes", "bpe.codes", "--bpe_vocab", "bpe.vocab")
    cut = texts(NMT_FOLDER / "text/train")
    assert longest not in {piece for line in cut for piece in line.split()}
    assert [subword_nmt.join(line) for line in cut] == sentences


def test_an_unknown_piece_is_an_error_in_training_and_counted_elsewhere(recipe):
    text = recipe / "dump/raw/dev/text"
    first, *others = read_lines(text)
    text.write_text("\n".join([f"{first} qzx", *others]) + "\n")
    facts = run_stage(5, *NMT)
    assert "different ones unknown" in facts["cut dev"]
    assert "unknown" not in facts["cut train"]
    (recipe / "other.txt").write_text("u yeah yeah yeah okay okay\n" * 9)
    with pytest.raises(FormatError, match="not in the vocabulary.* in train-"):
        run_stage(5, *NMT[:2], "--nbpe", "2", "--bpe_train_text", "other.txt")


def test_symbols_named_whole_are_neither_learned_from_nor_cut(recipe):
    text = recipe / "dump/raw/train/text"
    lines = [f"{line} [noise]" for line in read_lines(text)]
    text.write_text("\n".join(lines) + "\n")
    run_stage(5, *NMT, "--bpe_nlsyms", "[noise],[laughter]")
    assert "[noise]" in read_lines(NMT_FOLDER / "tokens.txt")
    assert "[" not in (NMT_FOLDER / "bpe.codes").read_text()
    cut = texts(NMT_FOLDER / "text/train")
    assert all(line.split()[-1] == "[noise]" for line in cut)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{'<s>': 0}", "{'<s>': 0, '</s>': 0, 'UNK': 1, 'a': 3}"]
)
def test_a_file_that_is_no_vocabulary_is_named(tmp_path, text):
    (tmp_path / "v").write_text(text)
    with pytest.raises(FormatError, match="expected"):
        subword_nmt.read_vocabulary(tmp_path / "v")


def test_pieces_that_sentencepiece_does_not_know_are_counted(recipe):
    text = recipe / "dump/raw/dev/text"
    lines = [f"{line} é" for line in read_lines(text)]
    text.write_text("\n".join(lines) + "\n")
    assert ", 3 of " in run_stage(5)["unknown pieces"]
    assert run_stage(5)["unknown pieces"].startswith("0 of ")


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


@pytest.mark.slow
def test_labels_of_an_imported_model_are_the_lines_of_the_token_list(recipe):
    from espnet_ext.interop.returnn import label_ids

    run_stage(5, *NMT)
    original = ast.literal_eval((NMT_FOLDER / "bpe.vocab").read_text())
    tokens = read_lines(NMT_FOLDER / "tokens.txt")
    ids = label_ids(max(original.values()) + 1, bos=original["<s>"])
    names = {"<s>": "<sos/eos>", "</s>": "<sos/eos>", "UNK": "<unk>"}
    assert len(ids) + 1 == len(tokens) and tokens[0] == "<blank>"
    for label, number in original.items():
        assert tokens[ids[number]] == names.get(label, label)
