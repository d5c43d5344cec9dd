"""Joined segments: same words, no silence between, sides kept apart."""

import pytest

from espnet_ext.corpus.concatenation import (
    COUNTS,
    join_segments,
    joined_set_name,
    parse_parts,
)
from espnet_ext.corpus.kaldi_dir import Utterance, utterance_id
from espnet_ext.corpus.stm import parse_stm, repaired, scored_words
from espnet_ext.errors import FormatError

STM = """\
;; CATEGORY "0" "" ""
;; LABEL "O" "Overall" "Overall"
sw_1 A sw_1_A 4.00 5.50 <O> THREE (%HESITATION)
sw_1 A sw_1_A 0.00 1.00 <O> ONE
sw_1 B sw_1_B 0.50 2.00 <O> B ONE
sw_1 A sw_1_A 1.50 2.00 <O> IGNORE_TIME_SEGMENT_IN_SCORING
sw_1 A sw_1_A 2.00 3.00 <O> TWO
sw_1 A sw_1_A 6.00 6.50 <O>
sw_2 A sw_2_A 0.00 1.00 <O> OTHER CALL
"""


def small_set():
    stm = repaired(parse_stm(STM.splitlines(), where="x.stm"))
    utterances = [
        Utterance(
            utterance_id(f"{s.file}-{s.channel}", s.start_s, s.end_s),
            f"{s.file}-{s.channel}",
            f"{s.file}-{s.channel}",
            s.text.lower().replace("(%hesitation)", "").strip(),
            f"{s.file}.sph",
            "AB".index(s.channel),
            s.start_s,
            s.end_s,
        )
        for s in stm.segments
        if not s.ignored
    ]
    return stm, utterances


def test_up_to_c_segments_of_a_side_become_one():
    joined = join_segments(*small_set(), count=2)
    assert [(u.utterance_id, u.text) for u in joined.utterances] == [
        ("sw_1-A_000000-000300", "one two"),
        ("sw_1-A_000400-000550", "three"),
        ("sw_1-B_000050-000200", "b one"),
        ("sw_2-A_000000-000100", "other call"),
    ]
    assert joined.parts["sw_1-A_000000-000300"] == [(0.0, 1.0), (2.0, 3.0)]
    lines = [segment.line() for segment in joined.stm.segments]
    assert lines[0] == "sw_1 A sw_1_A 0.00 3.00 <O> ONE TWO"
    assert lines[1] == "sw_1 A sw_1_A 4.00 5.50 <O> THREE (%HESITATION)"


@pytest.mark.parametrize("count", COUNTS)
def test_every_c_has_the_same_words_and_the_same_speech(count):
    stm, utterances = small_set()
    joined = join_segments(stm, utterances, count)
    spoken = [u for u in utterances if u.text]
    assert sum(scored_words(s.text) for s in joined.stm.segments) == 8
    words = sorted(word for u in joined.utterances for word in u.text.split())
    assert words == sorted(word for u in spoken for word in u.text.split())
    seconds = [e - s for spans in joined.parts.values() for s, e in spans]
    assert sum(seconds) == sum(u.end_s - u.start_s for u in spoken)


def test_one_segment_at_a_time_is_the_set_without_its_empty_segments():
    stm, utterances = small_set()
    joined = join_segments(stm, utterances, 1)
    assert joined.utterances == sorted(
        (u for u in utterances if u.text), key=lambda u: u.utterance_id
    )


def test_the_file_of_parts_is_read_as_it_was_written():
    joined = join_segments(*small_set(), count=100)
    lines = joined.parts_text().splitlines()
    assert lines[0] == "sw_1-A_000000-000550 0.00 1.00 2.00 3.00 4.00 5.50"
    assert parse_parts(lines, "x") == joined.parts
    for wrong in ("utterance", "utterance 1.0", "utterance 1.0 soon"):
        with pytest.raises(FormatError, match="x line 1"):
            parse_parts([wrong], "x")


def test_the_name_says_how_many_are_joined():
    assert joined_set_name("hub5e_00", 4) == "hub5e_00_concat4"
