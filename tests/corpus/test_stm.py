"""STM files: round trip, the defects of the releases, one plain reading of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.corpus.stm import (
    Stm,
    StmSegment,
    merged,
    parse_stm,
    read_stm,
    reference_words,
    repaired,
    undefined_labels,
)
from espnet_ext.errors import FormatError
from tests.shared import shared_file

TREE = "data/ldc-mini/"
HUB5E_00 = TREE + "LDC2002T43/2000_hub5_eng_eval_tr/reference/"
HUB5E_01 = TREE + "LDC2002S13/hub5e_01/data/transcr/"
RT03 = TREE + "LDC2007S10/data/references/eval03/english/cts/"


def normal(line):
    return " ".join(line.split())


@pytest.mark.parametrize(
    "sources, expected",
    [
        ([HUB5E_00 + "hub5e00.english.000405.stm"], "eval2000"),
        ([HUB5E_01 + "hub5e01.english.20010402.stm"], "eval2001"),
        ([RT03 + "fsh_60262.stm", RT03 + "sw_45104.stm"], "rt03"),
    ],
)
def test_repaired_files_equal_those_of_kaldi(sources, expected):
    """Up to blanks; labels that Kaldi repeats for each call are kept once."""
    stm = repaired(merged(read_stm(shared_file(name)) for name in sources))
    wanted = shared_file(f"data/ldc-mini-expected/{expected}/stm").read_text()
    lines = [normal(line) for line in wanted.splitlines()]
    segments = [line for line in lines if not line.startswith(";;")]
    headers = dict.fromkeys(line for line in lines if line.startswith(";;"))
    assert [segment.line() for segment in stm.segments] == segments
    assert list(stm.header) == list(headers)


NAMES = st.text(alphabet="abz_019", min_size=1, max_size=8)
TIMES = st.integers(0, 10**9)
SEGMENTS = st.builds(
    lambda file, channel, speaker, start, length, label, words: StmSegment(
        file,
        channel,
        speaker,
        start / 10**6,
        (start + length + 1) / 10**6,
        label,
        " ".join(words),
    ),
    NAMES,
    st.sampled_from(["A", "B", "1", "2"]),
    NAMES,
    TIMES,
    TIMES,
    st.sampled_from(["", "O,en,F", "o,f0,male"]),
    st.lists(
        st.sampled_from(["YEAH", "(TH-)", "{ A / B }", "<B_ASIDE>", "U.", "((", "UH"])
    ),
)


@given(st.lists(SEGMENTS, min_size=1))
def test_parsing_the_written_file_gives_the_same_segments(segments):
    stm = Stm((';; LABEL "O" "Overall" "Overall"',), tuple(segments))
    assert parse_stm(stm.to_text().splitlines()) == stm


@given(st.lists(SEGMENTS, min_size=1))
def test_repairing_twice_changes_nothing(segments):
    once = repaired(Stm((), tuple(segments)))
    assert repaired(once) == once


def test_labels_stay_under_their_category_when_files_are_merged():
    first = [';; CATEGORY "1" "Sex" ""', ';; LABEL "M" "Male" ""', "a A s 0 1 <M> X"]
    second = first[:1] + [';; LABEL "F" "Female" ""', "b A s 0 1 <F> Y"]
    third = [';; CATEGORY "2" "Part" ""'] + second
    stm = merged(parse_stm(lines) for lines in (first, third, second))
    assert stm.header == (
        ';; CATEGORY "1" "Sex" ""',
        ';; LABEL "M" "Male" ""',
        ';; LABEL "F" "Female" ""',
        ';; CATEGORY "2" "Part" ""',
    )


@pytest.mark.parametrize(
    "text, words",
    [
        ("HE IS A POLICE OFFICER", "he is a police officer"),
        ("(%HESITATION) UH-HUH", "uh-huh"),
        ("%HESITATION WELL %BCACK", "well"),
        ("AND (TH-) THEY LIVE IN THE U. S.", "and they live in the u s"),
        ("(AND THEN) YES", "and then yes"),
        ("(-BOUT) YES", "yes"),
        ("<B_ASIDE> WAIT <E_ASIDE> OKAY <B_ASIDE> NO <E_ASIDE>", "wait okay no"),
        ("((I THINK) HE'S ALRIGHT", "i think he's alright"),
        ("{ GONNA / GOING TO } GO", "gonna go"),
        ("{ @ / UH } YES { A / { B / C } }", "yes a"),
        ("({ YEP / YES }) SO", "yep so"),
        ("T. V.S AND P. C.'S", "t vs and p c's"),
        ("IGNORE_TIME_SEGMENT_IN_SCORING", ""),
        ("", ""),
    ],
)
def test_one_plain_reading_is_chosen(text, words):
    assert reference_words(text) == words


def test_letters_may_keep_their_dots():
    assert reference_words("THE U. S.", letter_dots=True) == "the u. s."


def test_labels_without_definition_are_found():
    lines = [';; LABEL "O" "Overall" "Overall"', "a A s 0 1 <o,en> YES"]
    assert undefined_labels(parse_stm(lines)) == ["en"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("en_4156 A en_4156_A 357.64", "x.stm line 2: 4 fields"),
        (
            "en_4156 A en_4156_A 357.64 soon <O> HE",
            "x.stm line 2: times 357.64 and soon",
        ),
        ("en_4156 A en_4156_A 2.0 1.0 <O> HE", "0 <= start < end"),
        ("en_4156 A en_4156_A nan 1.0 <O> HE", "nan"),
        ("", "x.stm: no segments"),
    ],
)
def test_a_wrong_line_is_named(line, message):
    with pytest.raises(FormatError, match=message):
        parse_stm([";; comment", line], where="x.stm")


def test_bytes_of_the_nineties_are_latin_1(tmp_path):
    path = tmp_path / "x.stm"
    path.write_bytes(b"en_4156 A en_4156_A 0 1 <O> CAF\xc9\n")
    assert read_stm(path).segments[0].text == "CAF\u00c9"
