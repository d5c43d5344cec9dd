"""The table of the transcript marks, row by row, and that nothing is done twice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.corpus.acronyms import Acronyms, read_acronyms
from espnet_ext.corpus.ms98 import PROFILES, make_normaliser, profile_named
from espnet_ext.errors import OptionError
from tests.shared import shared_file

ACRONYMS = Acronyms(
    ["IBM ay b iy eh m", "TVs t iy v iy z", "PC's p iy s iy z", "NASA n ae s ax"]
)
PLAIN = make_normaliser(PROFILES["plain"], ACRONYMS)
RWTH = make_normaliser(PROFILES["rwth"], ACRONYMS)
KALDI = make_normaliser(PROFILES["kaldi"], ACRONYMS)

# written by hand from the conventions of the releases
TABLE = [
    # transcript, text of all profiles
    ("[laughter-yeah] [laughter-right]", "yeah right"),
    ("[laughter-th[e]-] the", "th- the"),
    ("[laughter-[it'n/isn't]]", "it'n"),
    ("[laughter-about]- it", "about- it"),
    ("th[e]- the", "th- the"),
    ("-[ab]out it", "-out it"),
    ("ammu[n]it- it", "ammu-it- it"),
    ("i[t's]- it's", "i- it's"),
    ("[pacifically/specifically]", "pacifically"),
    ("[it'n/isn't]- so", "it'n- so"),
    ("[lem[guini]-/linguini] so", "lem- so"),
    ("ex[specially]-/especially] so", "ex- so"),
    ("the {yuppiedom} of it", "the yuppiedom of it"),
    ("them_1 them_1's okay_1", "them them's okay"),
    ("<b_aside> come <e_aside> sorry", "come sorry"),
    ("<b_aside> a <e_aside> b <b_aside> c <e_aside>", "a b c"),
    ("Colorado in April", "colorado in april"),
    ("NASA said", "nasa said"),
    ("[silence]", ""),
    ("", ""),
    ("uh-huh bye-bye 'cause", "uh-huh bye-bye 'cause"),
    ("well - so -- yes", "well so yes"),
]
CHOICES = [
    # transcript, plain, rwth, kaldi
    ("at IBM", "at i b m", "at ibm", "at i._b._m."),
    ("TVs and PC's", "t vs and p c's", "tvs and pc's", "t._v.s and p._c.'s"),
    ("C I A i forget", "c i a i forget", "c i a i forget", "c. i. a. i forget"),
    ("at AT&T", "at a t and t", "at at and t", "at at&t"),
    ("[laughter-IBM]", "i b m", "ibm", "i._b._m."),
    (
        "so [noise] hot [vocalized-noise]",
        "so hot",
        "so [NOISE] hot [VOCALIZED-NOISE]",
        "so [noise] hot [vocalized-noise]",
    ),
    ("[laughter] [noise]", "", "", "[laughter] [noise]"),
]


@pytest.mark.parametrize("transcript, text", TABLE)
def test_each_mark_becomes_what_the_table_says(transcript, text):
    for normalise in (PLAIN, RWTH, KALDI):
        assert normalise(transcript) == text


@pytest.mark.parametrize("transcript, plain, rwth, kaldi", CHOICES)
def test_letters_and_noise_are_what_the_profile_says(transcript, plain, rwth, kaldi):
    assert PLAIN(transcript) == plain
    assert RWTH(transcript) == rwth
    assert KALDI(transcript) == kaldi


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("remove", "so hot"),
        ("upper", "so [NOISE] hot"),
        ("lower", "so [noise] hot"),
    ],
)
def test_noise_tags_are_an_option(tags, expected):
    normalise = make_normaliser(replace(PROFILES["plain"], noise_tags=tags))
    assert normalise("so [noise] hot") == expected
    assert normalise("[noise] [laughter]") == ""  # dropped whatever the option


def test_acronyms_may_keep_the_dots_of_the_stm_files():
    normalise = make_normaliser(replace(PROFILES["plain"], acronyms="dotted"), ACRONYMS)
    assert normalise("IBM and C I A") == "i. b. m. and c. i. a."


def test_kaldi_profile_equals_kaldi_except_for_its_two_slips():
    """Oracle: what the Kaldi scripts wrote for the example tree."""
    acronyms = read_acronyms(
        shared_file(
            "data/ldc-mini/LDC97S62/transcriptions/swb_ms98_transcriptions/"
            "sw-ms98-dict.text"
        )
    )
    normalise = make_normaliser(PROFILES["kaldi"], acronyms)
    folder = "data/ldc-mini-expected/train/"
    expected = dict(
        line.split(" ", 1)
        for line in shared_file(folder + "text").read_text().splitlines()
    )
    differing = {}
    for line in shared_file(folder + "transcripts1.txt").read_text().splitlines():
        utterance, words = line.split(" ", 1)
        if normalise(words) != expected.get(utterance, ""):
            differing[utterance] = (expected[utterance].split(), normalise(words))
    assert set(differing) == {"sw02002-B_001743-002096", "sw02005-A_001277-001699"}
    kaldi, ours = differing["sw02002-B_001743-002096"]
    assert ours == " ".join("ex-" if word == "ex" else word for word in kaldi)
    kaldi, ours = differing["sw02005-A_001277-001699"]
    assert ours == " ".join("ammu-it-" if w == "ammn-t-" else w for w in kaldi)


MARKED = st.text(alphabet="abIBM[]{}<>/-_1&.'s ", max_size=40)
SENTENCES = st.lists(
    st.sampled_from([token for row in TABLE + CHOICES for token in row[0].split()]),
    max_size=8,
).map(" ".join)


@given(st.one_of(MARKED, SENTENCES))
def test_a_second_pass_changes_nothing(line):
    for normalise in (PLAIN, RWTH, KALDI):
        once = normalise(line)
        assert normalise(once) == once


@given(MARKED)
def test_no_mark_survives_in_a_word(line):
    assert not set("[]{}<>/").intersection(PLAIN(line))


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(OptionError, match="kaldi"):
        profile_named("kladi")
