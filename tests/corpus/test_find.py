"""Files are found in every layout sites have: case, links, middle folders, copies."""

import pytest

from espnet_ext.corpus.find import audio_by_call, find_files, find_one, walk_files
from espnet_ext.errors import MissingInputError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_names_match_in_any_case(tmp_path):
    path = touch(tmp_path / "SWB1_D1" / "DATA" / "SW02001.SPH")
    assert find_files(tmp_path, ["sw0*.sph"]) == [path]


def test_linked_folders_are_searched_and_loops_end(tmp_path):
    touch(tmp_path / "disk" / "sw02001.sph")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "d1").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "again").symlink_to(tmp_path / "root")
    assert [p.name for p in walk_files(tmp_path / "root")] == ["sw02001.sph"]


def test_the_order_is_the_same_for_every_file_system(tmp_path):
    for name in ("c", "a", "b"):
        touch(tmp_path / name / "x.sph")
    assert [p.parent.name for p in walk_files(tmp_path)] == ["a", "b", "c"]


def test_the_original_wins_over_a_converted_copy(tmp_path):
    touch(tmp_path / "a" / "sw02001.wav")
    touch(tmp_path / "b" / "sw02001.sph")
    touch(tmp_path / "c" / "sw02002.flac")
    chosen, copies = audio_by_call([tmp_path], "sw0*")
    assert {call: path.suffix for call, path in chosen.items()} == {
        "sw02001": ".sph",
        "sw02002": ".flac",
    }
    assert [path.suffix for path in copies] == [".wav"]


def test_the_first_pattern_with_a_match_decides(tmp_path):
    touch(tmp_path / "a" / "hub5e00.other.stm")
    exact = touch(tmp_path / "b" / "hub5e00.english.000405.stm")
    patterns = ["hub5e00.english.000405.stm", "hub5e00*.stm"]
    assert find_one(tmp_path, patterns) == exact
    assert find_one(tmp_path, ["*.glm"]) is None


def test_an_absent_folder_and_a_file_in_its_place_are_named(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere: corpus folder not found"):
        list(walk_files(tmp_path / "nowhere"))
    with pytest.raises(MissingInputError, match="is not a folder"):
        list(walk_files(touch(tmp_path / "file")))
