"""A stage is repeated when its inputs, settings or results change, and only then."""

import os

import pytest

from espnet_ext.corpus.stamp import Stamp


@pytest.fixture
def files(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("in.txt", "out/text"):
        (tmp_path / name).write_text(name)
    return tmp_path


def stamp(folder, **settings):
    return Stamp(folder / "stamp.json", settings, [folder / "in.txt"])


def reason(folder, **settings):
    return stamp(folder, **settings).reason_to_run([folder / "out"])


def test_a_finished_stage_is_up_to_date_and_remembers_its_result(files):
    assert reason(files, profile="rwth") == "not done yet"
    stamp(files, profile="rwth").write([files / "out"], {"rows": [1, 2]})
    assert reason(files, profile="rwth") is None
    assert stamp(files).result() == {"rows": [1, 2]}


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda d: (d / "in.txt").write_text("longer now"), "changed input files"),
        (lambda d: (d / "in.txt").unlink(), "changed input files"),
        (lambda d: os.utime(d / "in.txt", (1, 1)), "changed input files"),
        (lambda d: (d / "out" / "text").unlink(), "changed or missing results"),
        (lambda d: (d / "out" / "text").write_text(""), "changed or missing results"),
        (lambda d: (d / "stamp.json").write_text('{"settings'), "not done yet"),
    ],
)
def test_each_change_is_noticed(files, change, expected):
    stamp(files, profile="rwth").write([files / "out"])
    change(files)
    assert reason(files, profile="rwth") == expected


def test_a_changed_setting_is_named(files):
    stamp(files, profile="rwth", split="list").write([files / "out"])
    assert reason(files, profile="kaldi", split="list") == "changed setting: profile"
