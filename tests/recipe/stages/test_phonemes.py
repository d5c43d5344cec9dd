"""Stage 5 with phonemes: tokens, lexicon, texts as phonemes, and what goes wrong."""

import pytest

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import read_lines
from espnet_ext.lexicon.dictionary import read_lexicon
from espnet_ext.recipe.stages.common import token_arguments
from tests.recipe.folders import context, make_recipe, run_stage
from tests.recipe.stages.test_tokens import texts

DICTIONARY = """;;; for the words of the folder but 'house' and 'yeah'
OKAY  OW2 K EY1
I  AY1
THINK  TH IH1 NG K
SO  S OW1
THAT  DH AE1 T
THAT(2)  DH AH0 T
IS  IH1 Z
GOOD  G UH1 D
RIGHT  R AY1 T
WRITE  R AY1 T
WELL  W EH1 L
YOU  Y UW1
KNOW  N OW1
THE  DH AH0
"""
PHN = ("--token_type", "phn", "--lexicon", "dictionary.txt")
LETTERS = (*PHN, "--lexicon_fallback", "graphemes")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    (tmp_path / "dictionary.txt").write_text(DICTIONARY)
    run_stage(3)
    run_stage(4)
    return tmp_path


def test_texts_are_the_first_pronunciations_with_marked_word_ends(recipe):
    facts = run_stage(5, *LETTERS)
    folder = recipe / "data/en_token_list/phn_graphemes"
    lexicon = read_lexicon(folder / "lexicon.txt")
    tokens = read_lines(folder / "tokens.txt")
    for name in ("train", "dev"):
        whole, cut = texts(f"dump/raw/{name}/text"), texts(folder / "text" / name)
        for words, phonemes in zip(whole, cut, strict=True):
            spelled = [lexicon[word][0] for word in words.split()]
            assert phonemes == " ".join(" ".join(p) + "#" for p in spelled)
            assert set(phonemes.split()) <= set(tokens)
    assert lexicon["that"] == [("DH", "AE1", "T"), ("DH", "AH0", "T")]
    assert lexicon["house"] == [("_h", "_o", "_u", "_s", "_e")]
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert {"T#", "T"} - set(tokens) == {"T"} and "AH0" in tokens
    running = " ".join(texts("dump/raw/train/text")).split()
    for line in read_lines(folder / "unknown_words.txt"):
        count, word, *phonemes = line.split()
        assert running.count(word) == int(count) and tuple(phonemes) == lexicon[word][0]
        assert f"{word} ({count})" in facts["not in the lexicon"]


def test_marks_and_stress_can_be_left_out_and_have_lists_of_their_own(recipe):
    plain = ("--phoneme_word_end", "false", "--lexicon_stress", "strip")
    run_stage(5, *LETTERS, *plain)
    folder = recipe / "data/en_token_list/phn_plain_nostress_graphemes"
    tokens = read_lines(folder / "tokens.txt")
    assert "AH" in tokens and not [t for t in tokens if t[-1] in "#0123"]
    assert (folder / "text/train").is_file()
    assert context(*LETTERS, *plain).layout.asr_exp.name.endswith(
        "raw_en_" + folder.name
    )


def test_espnet_sees_words(recipe):
    run_stage(5, *LETTERS)
    given = token_arguments(context(*LETTERS), "phn")
    assert given[given.index("--token_type") + 1] == "word"
    assert given[given.index("--g2p") + 1] == "none"


def test_words_that_become_unk_are_recognised_as_that_alone(recipe):
    run_stage(5, *PHN, "--lexicon_fallback", "unk")
    folder = recipe / "data/en_token_list/phn_unk"
    lexicon = read_lexicon(folder / "lexicon.txt")
    assert lexicon["<unk>"] == [("<unk>",)] and "house" not in lexicon
    whole, cut = texts("dump/raw/train/text"), texts(folder / "text/train")
    words = sum(line.split().count(w) for line in whole for w in ("house", "yeah"))
    assert words == sum(line.split().count("<unk>#") for line in cut) > 0


def test_words_without_pronunciation_are_an_error_that_names_them(recipe):
    with pytest.raises(FormatError, match=r"dump/raw/train/text: .*yeah \(\d+x\)"):
        run_stage(5, *PHN)
    path = recipe / "data/en_token_list/phn/unknown_words.txt"
    assert any("(no pronunciation)" in line for line in read_lines(path))


def test_other_sets_may_have_words_without_pronunciation(recipe):
    with open("dictionary.txt", "a") as file:
        file.write("HOUSE HH AW1 S\nYEAH Y AE1\n")
    run_stage(5, *PHN)
    dev = recipe / "dump/raw/dev/text"
    dev.write_text("dev-A_000000 the zebra [noise]\n")
    with pytest.raises(FormatError, match=r"dev/text: .* zebra \(1x\)"):
        run_stage(5, *PHN, only="text/dev")
    from espnet_ext.recipe.stages.tokens import cut_text_file

    dev.rename("other")
    said = cut_text_file(context(*PHN), recipe / "other", recipe / "cut")
    assert texts(recipe / "cut") == ["DH AH0# <unk> [noise]#"]
    assert "2 words not in the lexicon, 1 of them <unk>" in said


def test_an_n_gram_of_phonemes_reads_phonemes_and_one_of_words_words(recipe):
    for more, kind in (((), "phn_graphemes"), (("--use_word_lm", "true"), "word")):
        settings = (*LETTERS, "--use_ngram", "true", *more)
        made = [unit.target for unit in _stage_units(settings)]
        assert any(target.endswith(f"token_list/{kind}") for target in made)
        assert any(target.endswith("text/lm_train") for target in made) == (not more)
        assert context(*settings).layout.ngram_exp.name == f"ngram_en_{kind}"


def _stage_units(settings):
    from espnet_ext.recipe.stages import stage

    return stage(5).units(context(*settings))


def test_what_cannot_work_is_refused(recipe):
    with pytest.raises(OptionError, match="phonemes need a pronunciation dictionary"):
        run_stage(5, "--token_type", "phn")
    with pytest.raises(MissingInputError, match="--lexicon absent.txt"):
        run_stage(5, *PHN, "--lexicon", "absent.txt")
    with pytest.raises(OptionError, match="is for phonemes, but the units are bpe"):
        context("--lexicon", "dictionary.txt")
    with pytest.raises(OptionError, match="a cleaner would change the phonemes"):
        context(*PHN, "--cleaner", "tacotron")
    with open("dictionary.txt", "a") as file:
        file.write("HOUSE <blank> HH\n")
    with pytest.raises(OptionError, match="called '<blank>' like a special token"):
        run_stage(5, *LETTERS)
