"""The forms of a token, compared with the preparation's own reading of the marks."""

import pytest

from espnet_ext.corpus.acronyms import Acronyms
from espnet_ext.corpus.embedded.special import TRAIN_CASES
from espnet_ext.corpus.embedded.switchboard import LETTER_NAMES, _phones
from espnet_ext.corpus.embedded.tokens import (
    IRREGULAR,
    sentence_key,
    stm_text,
    token,
    tokens,
    words,
)
from espnet_ext.corpus.ms98 import PROFILES, make_normaliser

WRITTEN = sorted(
    {w for lines in TRAIN_CASES.values() for line in lines for w in line.split()}
    | set(IRREGULAR)
    | {"IBM", "CNN", "GE", "VCRs", "TV", "I", "Texas", "[laughter-um]", "don't"}
)


@pytest.mark.parametrize("written", WRITTEN)
def test_words_of_a_token_are_what_the_preparation_makes_of_it(written):
    """The two read the marks independently: one from a table, one by rules."""
    part = token(written)
    acronyms = Acronyms([f"{written} {_phones(part)}"])
    prepared = make_normaliser(PROFILES["plain"], acronyms)(written).split()
    assert prepared == list(part.words)


def test_reference_text_marks_what_may_be_missing():
    sentence = tokens("um th[e]- they watch CNN on the TVs [noise]")
    assert stm_text(sentence) == (
        "(%HESITATION) (TH-) THEY WATCH C. N. N. ON THE T. V.S"
    )


def test_speech_gets_plain_words_only():
    """No bracket, slash or tag may reach the synthesiser: it would read them out."""
    for written in WRITTEN:
        for word in token(written).spoken.split():
            assert not set(word) & set("[]{}<>/_&"), written
            assert word == word.strip("-"), written


def test_sentences_that_differ_in_hesitations_have_one_key():
    plain = tokens("we had a lot of rain")
    assert sentence_key(tokens("uh we had th[e]- a lot um of rain")) == (
        sentence_key(plain)
    )
    assert sentence_key(tokens("[laughter] we had a [laughter-lot] of rain")) == (
        sentence_key(plain)
    )
    assert sentence_key(tokens("we had a lot of snow")) != sentence_key(plain)


def test_every_letter_has_a_name():
    assert sorted(LETTER_NAMES) == [chr(code) for code in range(65, 91)]
    assert words([token(letter) for letter in "XYZ"]) == ["x", "y", "z"]
