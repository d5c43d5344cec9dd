"""Phonemes of words that the lexicon has, and of those it does not."""

import pytest

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.lexicon.pronounce import Pronouncer, has_word_ends, units_of

LEXICON = {
    "the": [("DH", "AH"), ("DH", "IY")],
    "cat": [("K", "AE", "T")],
    "a": [("AH",)],
}


def test_the_first_pronunciation_is_taken_and_its_last_phoneme_marked():
    pronouncer = Pronouncer(LEXICON)
    assert pronouncer.tokens("the a cat".split()) == "DH AH# AH# K AE T#".split()
    assert pronouncer.tokens("the a".split(), word_end=False) == "DH AH AH".split()
    assert not pronouncer.missing


def test_words_are_also_looked_up_in_the_case_of_the_lexicon():
    assert Pronouncer(LEXICON, case="lower")("The") == ("DH", "AH")
    assert Pronouncer(LEXICON)("The") is None


def test_letters_are_units_of_their_own():
    pronouncer = Pronouncer(LEXICON, "graphemes")
    assert pronouncer("it's") == ("_i", "_t", "_s")
    assert pronouncer("wor-") == ("_w", "_o", "_r")
    assert pronouncer("Ä4") == ("_ä", "_4")
    assert pronouncer("&") == ("_sign",)
    assert dict(pronouncer.missing) == {"it's": 1, "wor-": 1, "Ä4": 1, "&": 1}


def test_marks_are_one_unit_unless_the_lexicon_has_them():
    for fallback in ("none", "graphemes", "unk"):
        pronouncer = Pronouncer(LEXICON, fallback)
        assert pronouncer.tokens(["[noise]", "<unk>"]) == ["[noise]#", "<unk>#"]
    noise = {**LEXICON, "[noise]": [("NSN",)], "<unk>": [("SPN",)]}
    assert Pronouncer(noise)("[noise]") == ("NSN",)
    assert Pronouncer(noise, "unk")("wor-") == ("SPN",)
    assert Pronouncer(LEXICON, "unk")("wor-") == ("<unk>",)


def test_words_without_pronunciation_are_named_the_most_frequent_first():
    pronouncer = Pronouncer(LEXICON)
    assert pronouncer.tokens("the dog".split(), oov="<oov>")[-1] == "<oov>"
    pronouncer("bird"), pronouncer("dog"), pronouncer("[noise]")
    assert pronouncer.unpronounced() == ["dog", "bird"]
    with pytest.raises(FormatError, match=r"text: words .* dog \(2x\), bird \(1x\)$"):
        try:
            pronouncer.check("text")
        except FormatError as error:
            raise FormatError(error.found, where=error.where) from None
    Pronouncer(LEXICON, "graphemes").check("text")
    with pytest.raises(OptionError, match="unknown fallback 'rules'"):
        Pronouncer(LEXICON, "rules")


def test_units_are_those_of_all_pronunciations():
    assert units_of(LEXICON) == sorted("DH AH# IY# K AE T#".split())
    assert units_of(LEXICON, False) == sorted("DH AH IY K AE T".split())
    assert has_word_ends(units_of(LEXICON)) and not has_word_ends(["#", "AH"])
