"""Data directories are written whole or not at all, and read back as they were."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.corpus import kaldi_dir
from espnet_ext.corpus.kaldi_dir import (
    Utterance,
    combine_data_dirs,
    copy_data_dir,
    format_time,
    read_data_dir,
    utterance_id,
    write_data_dir,
)
from espnet_ext.errors import (
    DiskFullError,
    FormatError,
    MissingInputError,
    OutputError,
)
from tests.shared import shared_file

CALL = "/corpora/with a blank/sw02001.sph"
UTTERANCES = [
    Utterance("sw02001-B_000100-000250", "sw02001-B", "sw1062", "yes", CALL, 1, 1, 2.5),
    Utterance("sw02001-A_000000-000552", "sw02001-A", "sw1028", "hi", CALL, 0, 0, 5.52),
    Utterance("sw02001-A_000600-000700", "sw02001-A", "sw1028", "", CALL, 0, 6, 7),
]


def lines(path):
    return Path(path).read_text().splitlines()


def test_the_files_are_those_of_kaldi(tmp_path):
    out = write_data_dir(tmp_path / "train", UTTERANCES)
    assert lines(out / "wav.scp") == [f"sw02001-A {CALL}", f"sw02001-B {CALL}"]
    assert lines(out / "segments") == [
        "sw02001-A_000000-000552 sw02001-A 0.00 5.52",
        "sw02001-A_000600-000700 sw02001-A 6.00 7.00",
        "sw02001-B_000100-000250 sw02001-B 1.00 2.50",
    ]
    assert lines(out / "text")[1] == "sw02001-A_000600-000700"
    assert lines(out / "reco2file_and_channel") == [
        "sw02001-A sw02001 A",
        "sw02001-B sw02001 B",
    ]
    assert lines(out / "utt2spk")[0] == "sw02001-A_000000-000552 sw1028"
    assert lines(out / "spk2utt") == [
        "sw1028 sw02001-A_000000-000552 sw02001-A_000600-000700",
        "sw1062 sw02001-B_000100-000250",
    ]


def test_ids_are_sorted_in_byte_order(tmp_path):
    names = ["a_1", "a-1", "B", "Ä", "a", "Z", "é"]
    out = write_data_dir(
        tmp_path / "x", [Utterance(n, n, n, "yes", f"{n}.wav") for n in names]
    )
    found = [line.split()[0] for line in lines(out / "text")]
    assert found == sorted(names, key=lambda name: name.encode())


def test_whole_files_need_no_segments(tmp_path):
    whole = [Utterance(f"p-{n}", f"p-{n}", "allison", "yes", f"{n}.wav") for n in "ab"]
    out = write_data_dir(tmp_path / "prompts", whole)
    assert not (out / "segments").exists()
    assert read_data_dir(out) == whole


def test_whole_files_and_segments_can_be_combined(tmp_path):
    whole = [Utterance("p-a", "p-a", "allison", "yes", "a.wav")]
    write_data_dir(tmp_path / "1", whole)
    write_data_dir(tmp_path / "2", UTTERANCES)
    out = combine_data_dirs(tmp_path / "both", [tmp_path / "1", tmp_path / "2"])
    assert read_data_dir(out) == whole + sorted(
        UTTERANCES, key=lambda utterance: utterance.utterance_id
    )


TIMES = st.integers(0, 10**8).map(lambda n: n / 10**6)


@given(st.lists(st.tuples(TIMES, TIMES, st.sampled_from(["", "so", "ja"])), max_size=9))
def test_reading_gives_back_what_was_written(tmp_path_factory, rows):
    utterances = [
        Utterance(f"r-B_{n:03d}", "r-B", "s", text, "x y.sph", 1, a, a + b + 1e-6)
        for n, (a, b, text) in enumerate(rows)
    ]
    folder = tmp_path_factory.mktemp("d")
    assert all(
        got == replace(given_, end_s=got.end_s)
        and got.end_s == pytest.approx(given_.end_s, abs=1e-6)
        for got, given_ in zip(
            read_data_dir(write_data_dir(folder / "x", utterances)) if rows else [],
            utterances,
        )
    )


@pytest.mark.parametrize(
    "time_s, written",
    [
        (0, "0.00"),
        (5.5, "5.50"),
        (1.23, "1.23"),
        (1.234567, "1.234567"),
        (100, "100.00"),
    ],
)
def test_times_have_at_least_two_decimals(time_s, written):
    assert format_time(time_s) == written


def test_ids_are_rounded_where_kaldi_truncates():
    """1.15 * 100 is 114.99999999999999 in floating point."""
    assert utterance_id("en_4156-A", 1.15, 2.005) == "en_4156-A_000115-000201"


def test_a_set_that_would_not_change_is_not_touched(tmp_path):
    out = write_data_dir(tmp_path / "x", UTTERANCES, {"stm": "a\n"})
    before = {p: p.stat().st_mtime_ns for p in [out, *out.iterdir()]}
    write_data_dir(out, reversed(UTTERANCES), {"stm": "a\n"})
    assert {p: p.stat().st_mtime_ns for p in [out, *out.iterdir()]} == before
    write_data_dir(out, UTTERANCES, {"stm": "b\n"})
    assert lines(out / "stm") == ["b"]


def test_a_crash_leaves_the_old_set_whole(tmp_path, monkeypatch):
    out = write_data_dir(tmp_path / "x", UTTERANCES)

    def crash(*unused):
        raise KeyboardInterrupt

    monkeypatch.setattr(kaldi_dir.shutil, "copyfile", crash)
    with pytest.raises(KeyboardInterrupt):
        write_data_dir(out, UTTERANCES[:1], {"glm": tmp_path / "glm"})
    assert len(read_data_dir(out)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_is_named_and_leaves_the_old_set(tmp_path, monkeypatch):
    out = write_data_dir(tmp_path / "x", UTTERANCES)

    def full(*unused):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kaldi_dir.shutil, "copyfile", full)
    with pytest.raises(DiskFullError, match="no space left"):
        write_data_dir(out, UTTERANCES[:1], {"glm": tmp_path / "glm"})
    assert len(read_data_dir(out)) == 3


def test_a_file_in_place_of_the_parent_folder_is_named(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(OutputError, match="data/train: cannot be written"):
        write_data_dir(tmp_path / "data" / "train", UTTERANCES)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"utterance_id": UTTERANCES[0].utterance_id}, "occurs twice"),
        ({"audio_path": "other.sph"}, "two sources"),
        ({"utterance_id": "a b"}, "has a blank"),
        ({"speaker_id": ""}, "empty"),
        ({"text": "one\ntwo"}, "line end"),
    ],
)
def test_what_would_not_be_readable_is_refused(tmp_path, change, message):
    second = replace(UTTERANCES[0], **{"utterance_id": "x", **change})
    with pytest.raises(FormatError, match=message):
        write_data_dir(tmp_path / "x", [UTTERANCES[0], second])
    assert list(tmp_path.iterdir()) == []


def test_copies_for_speed_perturbation_have_their_own_ids(tmp_path):
    write_data_dir(tmp_path / "x", UTTERANCES)
    copy_data_dir(tmp_path / "sp", tmp_path / "x", prefix="sp0.9-")
    out = combine_data_dirs(tmp_path / "all", [tmp_path / "x", tmp_path / "sp"])
    assert len(read_data_dir(out)) == 6
    first = read_data_dir(tmp_path / "sp")[0]
    assert first.utterance_id == "sp0.9-sw02001-A_000000-000552"
    assert (first.recording_id, first.speaker_id) == ("sp0.9-sw02001-A", "sp0.9-sw1028")
    assert (first.channel, first.end_s, first.audio_path) == (0, 5.52, CALL)


def test_a_subset_must_exist(tmp_path):
    write_data_dir(tmp_path / "x", UTTERANCES)
    ids = [UTTERANCES[0].utterance_id]
    copy_data_dir(tmp_path / "some", tmp_path / "x", keep=ids)
    assert [u.utterance_id for u in read_data_dir(tmp_path / "some")] == ids
    with pytest.raises(FormatError, match="nowhere"):
        copy_data_dir(tmp_path / "y", tmp_path / "x", keep=ids + ["nowhere"])


def test_a_directory_of_kaldi_is_read(tmp_path):
    """The output of the Kaldi scripts, with their sph2pipe commands in wav.scp."""
    for name in ("segments", "text", "utt2spk"):
        source = shared_file(f"data/ldc-mini-expected/train/{name}")
        (tmp_path / name).write_bytes(source.read_bytes())
    sides = lines(shared_file("data/ldc-mini-expected/train/reco2file_and_channel"))
    (tmp_path / "wav.scp").write_text(
        "".join(
            f"{side.split()[0]} sph2pipe -f wav -p -c {'AB'.index(side[-1]) + 1} "
            f"/c/{side.split()[1]}.sph |\n"
            for side in sides
        )
    )
    utterances = read_data_dir(tmp_path)
    assert len(utterances) == 31
    found = next(u for u in utterances if u.utterance_id.startswith("sw02002-B_000380"))
    assert (found.audio_path, found.channel) == ("/c/sw02002.sph", 1)
    assert (found.start_s, found.end_s, found.text) == (3.8, 4.41, "yeah")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("wav.scp", "r rm -rf / |\n", "wav.scp line 1: wav.scp holds a command"),
        ("segments", "u r 1.0\n", "segments line 1: found 'r 1.0'"),
        ("segments", "u q 1.0 2.0\n", "recording q is not in wav.scp"),
        ("reco2file_and_channel", "r r left\n", "line 1: side 'left'"),
        ("text", "u a\n\n", "text line 2: empty line"),
    ],
)
def test_an_unreadable_line_is_named(tmp_path, name, content, message):
    (tmp_path / "wav.scp").write_text("r x.wav\n")
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=message):
        read_data_dir(tmp_path)


def test_an_absent_directory_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="nothing"):
        read_data_dir(tmp_path / "nothing")
