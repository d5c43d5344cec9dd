"""Fisher text: one mapper with two modes, both parts, known defects."""

import pytest

from espnet_ext.corpus.fisher import (
    FisherLine,
    find_transcripts,
    fisher_utterances,
    plain_words,
    read_transcript,
)
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.errors import FormatError, MissingInputError
from tests.shared import shared_file

RWTH = PROFILES["plain"]

TABLE = [
    # line, lm, acoustic
    ("and i generally prefer", "and i generally prefer", "and i generally prefer"),
    ("(( mm ))", "mm", None),
    ("so (( i think )) yes", "so i think yes", None),
    ("(( ))", None, None),
    ("at home [laughter] i.b.m. and a._b._c. -- yes",)
    + ("at home i b m and a b c yes",) * 2,
    ("hi [mn] this is [breath] [laugh] bob", "hi this is bob", "hi this is bob"),
    ("from <german (( ja wohl )) > [[skip]] o- okay", "from o- okay", None),
    ("from <german ja wohl> york", "from york", None),
    ("another *mandatory thing", "another mandatory thing", "another mandatory thing"),
    ("'cause u._s. prices", "'cause u s prices", "'cause u s prices"),
    ("the t._v.s and p._c.'s", "the t vs and p c's", "the t vs and p c's"),
    ("[laugh]", None, None),
    ("", None, None),
]


@pytest.mark.parametrize("line, lm, acoustic", TABLE)
def test_each_mark_becomes_what_the_table_says(line, lm, acoustic):
    assert plain_words(line, RWTH, "lm") == lm
    assert plain_words(line, RWTH, "acoustic") == acoustic


def test_letters_are_written_as_the_profile_says():
    assert plain_words("a._b._c. news", PROFILES["kaldi"]) == "a._b._c. news"


def test_both_parts_are_read_each_once():
    """RWTH's public job reads part 1 twice and never part 2."""
    parts = [shared_file("data/ldc-mini/LDC2004T19").parent / "LDC2004T19"]
    parts.append(parts[0].with_name("LDC2005T19"))
    transcripts = find_transcripts([*parts, parts[0]])
    assert list(transcripts) == ["fe_03_00001", "fe_03_05851"]
    assert [text for _, text in fisher_utterances(transcripts, RWTH)][-2:] == [
        "hi this is bob",
        "i'm from new york o- okay",
    ]


def write_calls(folder, **calls):
    for name, text in calls.items():
        (folder / f"{name}.txt").write_text(f"# {name}.sph\n\n{text}")
    return find_transcripts([folder])


def test_each_utterance_has_an_id_of_its_own_and_comes_once(tmp_path):
    """Repeated ids stop ESPnet's training of the language model."""
    first = "1.00 2.50 A: yes\n1.00 2.50 A: yes\n1.00 2.50 B: yes\n1.00 2.50 A: no\n"
    calls = write_calls(
        tmp_path,
        fe_03_00001=first + "3.0 4.0 A: [laugh]\n",
        fe_03_00002=first + "3.0 4.0 A: [laugh]\n",
        fe_03_00003=first,
    )
    log = PreparationLog()
    found = list(fisher_utterances(calls, RWTH, "lm", log))
    assert found[:3] == [
        ("fe_03_00001-A_000100-000250", "yes"),
        ("fe_03_00001-B_000100-000250", "yes"),
        ("fe_03_00001-A_000100-000250-2", "no"),
    ]
    assert {name[:11] for name, _ in found} == {"fe_03_00001", "fe_03_00003"}
    assert len({name for name, _ in found}) == len(found) == 6
    assert sorted(log.summary()) == [
        "changed, another line of the same times: 2",
        "dropped, copy of another call: 1",
        "dropped, no words: 1",
        "dropped, the same line twice in a call: 2",
    ]


def test_the_known_wrong_start_is_corrected(tmp_path):
    path = tmp_path / "fe_03_11487.txt"
    path.write_text("# fe_03_11487.sph\n\n31.09 234.06 A: yes\n31.09 33.0 B: no\n")
    assert read_transcript(path) == [
        FisherLine(231.09, 234.06, "A", "yes"),
        FisherLine(31.09, 33.0, "B", "no"),
    ]


def test_windows_line_ends_make_no_difference(tmp_path):
    path = tmp_path / "fe_03_00001.txt"
    path.write_bytes(b"# fe_03_00001.sph\r\n\r\n1.0 2.0 A: hello bob\r\n")
    assert read_transcript(path) == [FisherLine(1.0, 2.0, "A", "hello bob")]


@pytest.mark.parametrize("line", ["1.0 2.0 hello", "soon 2.0 A: hello", "nan nan A: x"])
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "fe_03_00001.txt"
    path.write_text(f"# head\n{line}\n")
    with pytest.raises(FormatError, match="fe_03_00001.txt line 2"):
        read_transcript(path)


def test_a_part_without_transcripts_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="no Fisher transcripts"):
        find_transcripts([tmp_path])
