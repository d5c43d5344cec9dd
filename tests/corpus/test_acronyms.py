"""Acronyms are told by their pronunciation, else by their spelling."""

import pytest

from espnet_ext.corpus.acronyms import Acronyms, read_acronyms, spell
from tests.shared import shared_file

DICTIONARY = """\
# comment IBM
IBM ay b iy eh m
TVs t iy v iy z
PC's p iy s iy z
WWF d ah b ax l y uw d ah b el y uw eh f
NASA n ae s ax
AT&amp;T ey t iy ae n d t iy
CAT k ae t
Dallas d ae l ax s
i ay
""".splitlines()


@pytest.mark.parametrize(
    "word, letters",
    [
        ("IBM", ["I", "B", "M"]),
        ("TVs", ["T", "Vs"]),
        ("PC's", ["P", "C's"]),
        ("WWF", ["W", "W", "F"]),
        ("AT&T", ["A", "T", "&", "T"]),
        ("AT&T's", ["A", "T", "&", "T's"]),
        ("I", ["I"]),
        ("C", ["C"]),
        ("NASA", None),
        ("CAT", None),
        ("Dallas", None),
        ("i", None),
        ("a", None),
        ("uh-huh", None),
        ("FBI", ["F", "B", "I"]),  # not listed: by its capitals
        ("AIDS", None),  # not listed: known to be said as a word
    ],
)
def test_letters_with_a_dictionary(word, letters):
    assert Acronyms(DICTIONARY).letters(word) == letters


def test_the_dictionary_needs_no_entry_for_the_pronoun():
    """Kaldi's script ends with a KeyError when ``i ay`` is missing."""
    without = [line for line in DICTIONARY if not line.startswith("i ")]
    assert Acronyms(without).letters("IBM") == ["I", "B", "M"]
    assert Acronyms(without).letters("i") is None


def test_without_a_dictionary_capitals_decide(tmp_path):
    acronyms = read_acronyms(tmp_path / "absent")
    assert acronyms.letters("CNN") == ["C", "N", "N"]
    assert acronyms.letters("NASA") is None
    assert acronyms.letters("April") is None


def test_the_reference_map_is_reproduced():
    """Every acronym of the map that Kaldi's scripts made, in both ways of writing."""
    acronyms = read_acronyms(
        shared_file(
            "data/ldc-mini/LDC97S62/transcriptions/swb_ms98_transcriptions/"
            "sw-ms98-dict.text"
        )
    )
    lines = shared_file("data/ldc-mini-expected/acronyms.map").read_text().splitlines()
    for line in lines:
        word, fisher, _ = line.split("\t")
        if word == "i":  # the pronoun is no letter
            continue
        assert spell(acronyms.letters(word), "fisher", None) == [fisher]


@pytest.mark.parametrize(
    "style, written",
    [
        ("letters", ["p", "c's"]),
        ("dotted", ["p.", "c.'s"]),
        ("fisher", ["p._c.'s"]),
        ("joined", ["pc's"]),
    ],
)
def test_each_style_of_writing(style, written):
    assert spell(["P", "C's"], style, "and") == written


@pytest.mark.parametrize(
    "style, ampersand, written",
    [
        ("letters", "and", "a t and t"),
        ("dotted", "and", "a. t. and t."),
        ("fisher", "and", "a._t. and t."),
        ("joined", "and", "at and t"),
        ("fisher", None, "at&t"),
    ],
)
def test_an_ampersand_is_read_as_the_profile_says(style, ampersand, written):
    assert " ".join(spell(list("AT&T"), style, ampersand)) == written
