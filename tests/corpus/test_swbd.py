"""Switchboard-1: segments, speakers, and what is left out and why."""

import numpy as np
import pytest

from espnet_ext.corpus.audio import check_audio_files, read_segment
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.corpus.swbd import (
    find_switchboard,
    read_callers,
    read_conversation_list,
    read_transcript,
    switchboard_utterances,
)
from espnet_ext.errors import FormatError, MissingInputError
from tests.corpus.trees import switchboard, write_call, write_side
from tests.shared import shared_file


def utterances_of(root, profile="plain"):
    files, log = find_switchboard(root), PreparationLog()
    paths = list(files.audio.values())
    infos = dict(zip(paths, check_audio_files(paths)))
    return switchboard_utterances(files, infos, PROFILES[profile], log), log


def reasons(log):
    return {entry.item: (entry.action, entry.reason) for entry in log.entries}


def test_segments_equal_those_of_kaldi():
    """Oracle: Kaldi's scripts on the example tree (noise-only segment kept)."""
    root = shared_file("data/ldc-mini/LDC97S62/docs/conv.tab").parents[1]
    utterances, _ = utterances_of(root, "kaldi")
    lines = shared_file("data/ldc-mini-expected/train/segments").read_text()
    expected = [line.split() for line in lines.splitlines()]
    assert [(u.utterance_id, u.recording_id) for u in utterances] == [
        (utterance, recording) for utterance, recording, _, _ in expected
    ]
    np.testing.assert_allclose(
        [(u.start_s, u.end_s) for u in utterances],
        [(float(start), float(end)) for _, _, start, end in expected],
        atol=1e-9,
    )


def test_speakers_are_the_callers_of_the_table():
    root = shared_file("data/ldc-mini/LDC97S62/docs/conv.tab").parents[1]
    utterances, log = utterances_of(root)
    speakers = {u.recording_id: u.speaker_id for u in utterances}
    assert speakers["sw02001-A"] == speakers["sw02002-A"] == "sw1028"
    assert speakers["sw02002-B"] == "sw1083"
    assert speakers["sw02005-B"] == "sw02005-B"  # not in the table
    assert "caller not in the table" in reasons(log)["sw02005-B"][1]


def test_sides_are_the_channels_of_the_file(tmp_path):
    root = switchboard(tmp_path, {"2001A": ["1.0 2.0 yes"], "2001B": ["1.0 2.0 no"]})
    (a, b), _ = utterances_of(root)
    assert (a.channel, b.channel) == (0, 1)
    assert not np.array_equal(
        read_segment(a.audio_path, a.channel, 1.0, 2.0)[0],
        read_segment(b.audio_path, b.channel, 1.0, 2.0)[0],
    )


def test_what_is_left_out_is_logged_with_the_reason(tmp_path):
    root = switchboard(
        tmp_path,
        {
            "2001A": [
                "0.0 1.0 [silence]",
                "1.0 2.0 [laughter] [noise]",
                "2.0 3.0 yes",
                "3.0 3.004 oh",
                "9.0 10.2 at the end",
                "9.5 11.0 too late",
                "12.0 13.0 much too late",
            ],
            "2663A": [f"{n}.0 {n}.5 yes" for n in range(1)],
            "2167B": ["1.0 2.0 yes"],
            "4000A": ["1.0 2.0 yes"],
        },
    )
    (root / "swb1_d1" / "data" / "sw04000.sph").unlink()
    write_call(root / "swb1_d1" / "data" / "sw03000.sph")
    utterances, log = utterances_of(root)
    assert [(u.utterance_id, u.end_s) for u in utterances] == [
        ("sw02001-A_000200-000300", 3.0),
        ("sw02001-A_000900-001020", 10.0),
        ("sw02663-A_000000-000050", 0.5),
    ]
    found = reasons(log)
    assert log.counts["only silence"] == 1
    assert found["sw02001-A sw2001A-ms98-a-0002"] == ("dropped", "no words")
    assert found["sw02001-A sw2001A-ms98-a-0004"] == ("dropped", "no duration")
    assert found["sw02001-A sw2001A-ms98-a-0005"][0] == "changed"
    for number in (6, 7):
        item = f"sw02001-A sw2001A-ms98-a-000{number}"
        assert found[item] == ("dropped", "past the end of the audio")
    assert found["sw02167-B"] == ("dropped", "nearly empty side")
    assert found["sw04000-A"] == ("dropped", "transcript without audio")
    for side in ("sw03000-A", "sw03000-B", "sw02001-B"):
        assert found[side] == ("dropped", "audio without transcript")
    assert [warning.partition(":")[0] for warning in log.warnings[2:]] == [
        "transcript without audio",
        "audio without transcript",
        "past the end of the audio",
    ]
    assert "dropped\tsw02167-B\tnearly empty side" in log.to_tsv()


def test_segments_on_the_list_of_rwth_are_left_out_except_by_kaldi(tmp_path):
    lines = [f"{n / 2} {n / 2 + 0.5} yes" for n in range(18)]
    root = switchboard(tmp_path, {"2691A": lines})
    assert len(utterances_of(root, "plain")[0]) == 17
    assert len(utterances_of(root, "rwth")[0]) == 17
    assert len(utterances_of(root, "kaldi")[0]) == 18


def test_long_segments_are_kept(tmp_path):
    root = switchboard(tmp_path, {"2001A": ["0.0 20.0 a long story"]})
    write_call(root / "swb1_d1" / "data" / "sw02001.sph", 30.0)
    assert utterances_of(root)[0][0].end_s == 20.0


def test_upper_case_audio_and_a_folder_of_transcripts_elsewhere(tmp_path):
    write_call(tmp_path / "audio" / "SW02001.SPH")
    write_side(tmp_path / "text", "2001A", ["1.0 2.0 yes"])
    files = find_switchboard(tmp_path / "audio", tmp_path / "text")
    assert list(files.audio) == ["sw02001"]
    assert list(files.transcripts) == ["sw02001-A"]


def test_a_root_without_audio_or_transcripts_says_what_to_do(tmp_path):
    with pytest.raises(MissingInputError, match="no Switchboard-1 audio"):
        find_switchboard(tmp_path)
    write_call(tmp_path / "sw02001.sph")
    with pytest.raises(MissingInputError, match="openslr.org/5"):
        find_switchboard(tmp_path)


def test_windows_line_ends_of_a_transcript_make_no_difference(tmp_path):
    path = tmp_path / "sw2001A-ms98-a-trans.text"
    path.write_bytes(b"sw2001A-ms98-a-0001 0.5 1.5 oh yes\r\n")
    (segment,) = read_transcript(path)
    assert segment == ("sw2001A-ms98-a-0001", 0.5, 1.5, "oh yes")


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "transcript file is empty"),
        ("\n\n", "transcript file is empty"),
        ("sw2001A-ms98-a-0001 0.5\n", "line 1: found 'sw2001A-ms98-a-0001 0.5'"),
        ("a 0 1 x\nb 2.0 1.0 x\n", "line 2"),
        ("a 0 nan x\n", "line 1"),
    ],
)
def test_a_wrong_transcript_is_named(tmp_path, content, message):
    path = tmp_path / "sw2001A-ms98-a-trans.text"
    path.write_text(content)
    with pytest.raises(FormatError, match=f"sw2001A-ms98-a-trans.text.*{message}"):
        read_transcript(path)


def test_the_caller_table_may_have_blanks_and_empty_lines(tmp_path):
    path = tmp_path / "conv_tab.csv"
    path.write_text("2001, 1, 1028, 1062, 350\n\n2002,1,1028,1083,350\n")
    assert read_callers(path)["sw02002-B"] == "sw1083"
    path.write_text('"conv","side","caller A","caller B"\n2001,1,1028,1062\n')
    assert read_callers(path) == {"sw02001-A": "sw1028", "sw02001-B": "sw1062"}
    path.write_text("2001, 1, nobody\n")
    with pytest.raises(FormatError, match="conv_tab.csv line 1"):
        read_callers(path)


def test_conversations_may_be_written_in_three_ways(tmp_path):
    path = tmp_path / "selection_conversations.txt"
    path.write_text("# held out\nsw02001\n2002\n02005  # both sides\n")
    assert read_conversation_list(path) == ["sw02001", "sw02002", "sw02005"]
    path.write_text("sw02001-A_000100\n")
    with pytest.raises(FormatError, match="line 1"):
        read_conversation_list(path)
