"""Counts are compared with the releases: complete, damaged, or only a sample."""

from espnet_ext.corpus.kaldi_dir import Utterance
from espnet_ext.corpus.report import SetRow, compare, set_row, table


def test_the_size_of_a_set_counts_what_is_in_it():
    utterances = [
        Utterance("a", "sw02001-A", "sw1", "so do i", "x", 0, 0.0, 1800.0),
        Utterance("b", "sw02001-B", "sw2", "", "x", 1, 0.0, 900.0),
        Utterance("c", "sw02002-A", "sw1", "yes", "y", 0, 900.0, 1800.0),
    ]
    assert set_row("train", utterances) == SetRow("train", 3, 2, 2, 4, 1.0)
    assert "1.00" in table([set_row("train", utterances)])[1]


def test_a_complete_release_is_no_warning():
    for files in (2438, 2435):
        lines, warnings = compare({"Switchboard audio files": files})
        assert warnings == []
        assert lines == [
            f"Switchboard audio files: {files:,}, release {files:,} (Kaldi)"
        ]


def test_a_damaged_copy_is_a_warning():
    lines, warnings = compare({"hub5e_01 segments": 5000, "hub5e_01 hours": 6.17})
    assert len(lines) == 2
    assert warnings == [
        "hub5e_01 segments: 5,000, release 5,895 +- 0.5 %: is the copy complete?"
    ]


def test_a_sample_is_called_a_sample_and_not_compared():
    lines, warnings = compare({"hub5e_00 audio files": 4, "hub5e_00 hours": 0.08})
    assert lines == ["a sample in the shape of LDC2002S09/T43"]
    assert warnings == []


def test_unknown_counts_are_left_alone():
    assert compare({"my own set": 7}) == ([], [])
