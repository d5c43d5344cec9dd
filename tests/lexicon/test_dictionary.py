"""Dictionaries in the forms that are in use."""

import pytest

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.lexicon.dictionary import read_lexicon, write_lexicon

CMU_07 = """;;; # CMUdict  --  Major Version: 0.07
##
#HASH-MARK  HH AE1 SH M AA2 R K
READ  R EH1 D
READ(1)  R IY1 D
'BOUT  B AW1 T
"""
CMU_2015 = """read R EH1 D
read(2) R IY1 D # present tense
aalborg AO1 L B AO0 R G # place, danish
"""
MS98 = """# the dictionary of the transcripts
AT&amp;T ey t iy ae n t iy
them dh eh m
them_1 ah m
April ey p r ax l
[laughter] lau
"""
KALDI = "read\tr eh d\nread\tr iy d\nread\tr eh d\n[noise]\tnsn\n"


def written(tmp_path, text, name="lexicon.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_cmudict_with_semicolons_has_words_that_begin_with_a_hash(tmp_path):
    lexicon = read_lexicon(written(tmp_path, CMU_07))
    assert lexicon == {
        "#HASH-MARK": [("HH", "AE1", "SH", "M", "AA2", "R", "K")],
        "READ": [("R", "EH1", "D"), ("R", "IY1", "D")],
        "'BOUT": [("B", "AW1", "T")],
    }


def test_the_newer_cmudict_has_comments_behind_the_phonemes(tmp_path):
    lexicon = read_lexicon(written(tmp_path, CMU_2015))
    assert lexicon["read"] == [("R", "EH1", "D"), ("R", "IY1", "D")]
    assert lexicon["aalborg"] == [("AO1", "L", "B", "AO0", "R", "G")]


def test_the_dictionary_of_switchboard_has_entities_and_numbered_words(tmp_path):
    path = written(tmp_path, MS98, "sw-ms98-dict.text")
    lexicon = read_lexicon(path, case="lower")
    assert lexicon["at&t"] == [tuple("ey t iy ae n t iy".split())]
    assert lexicon["them"] == [("dh", "eh", "m"), ("ah", "m")]
    assert list(lexicon) == ["at&t", "them", "april", "[laughter]"]


def test_a_repeated_word_is_a_variant_and_a_repeated_pronunciation_is_none(tmp_path):
    lexicon = read_lexicon(written(tmp_path, KALDI))
    assert lexicon == {"read": [tuple("r eh d".split()), tuple("r iy d".split())]} | {
        "[noise]": [("nsn",)]
    }


def test_stress_can_be_stripped_and_case_be_changed(tmp_path):
    path = written(tmp_path, "A(2)  EY1\nA  AH0\na AH1\n")
    assert read_lexicon(path, "lower", "strip") == {"a": [("EY",), ("AH",)]}
    assert read_lexicon(path, "upper")["A"] == [("EY1",), ("AH0",), ("AH1",)]
    assert list(read_lexicon(path)) == ["A", "a"]


def test_files_of_old_encoding_and_windows_lines_are_read(tmp_path):
    path = written(tmp_path, "café k ae f ey\r\n", encoding="latin-1")
    assert read_lexicon(path) == {"café": [("k", "ae", "f", "ey")]}


def test_what_is_written_is_read_again(tmp_path):
    lexicon = read_lexicon(written(tmp_path, CMU_07))
    write_lexicon(lexicon, tmp_path / "again.txt")
    assert read_lexicon(tmp_path / "again.txt") == lexicon


def test_faults_are_named_with_their_line(tmp_path):
    with pytest.raises(FormatError, match=r"line 2: 'b' has no phonemes"):
        read_lexicon(written(tmp_path, "a ah\nb\n"))
    with pytest.raises(FormatError, match=r"line 1: phoneme 'ah#' of 'a' ends in '#'"):
        read_lexicon(written(tmp_path, "a ah#\n"))
    with pytest.raises(FormatError, match="there is no word"):
        read_lexicon(written(tmp_path, "# nothing\n\n"))
    with pytest.raises(MissingInputError, match="file not found"):
        read_lexicon(tmp_path / "absent")
    for option in ("case", "stress"):
        with pytest.raises(OptionError, match=f"unknown {option} 'both'"):
            read_lexicon(written(tmp_path, KALDI), **{option: "both"})
