"""Progress reaches the terminal, the log and the parent process."""

import io

import pytest

from espnet_ext import progress
from espnet_ext.progress import Progress, read_report, report


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so: clock[0] += 5."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_ten_seconds_with_the_time_left(clock):
    log = io.StringIO()
    with Progress(200, "train", stream=log) as bar:
        for done in range(0, 101, 10):
            bar.update(done)
            clock[0] += 3
    lines = log.getvalue().splitlines()
    # updates 3 s apart: the fifth comes 12 s after the start, the ninth 24 s
    assert len(lines) == 2
    assert lines[0] == "  train: 20 % in 12 s, 48 s left"
    assert lines[1] == "  train: 40 % in 24 s, 36 s left"


def test_a_note_is_part_of_the_line(clock):
    log = io.StringIO()
    bar = Progress(4, "train", stream=log)
    clock[0] += 10
    bar.update(1, "loss 3.2")
    assert log.getvalue() == "  train: 25 % in 10 s, 30 s left, loss 3.2\n"


def test_more_than_everything_is_shown_as_everything(clock):
    log = io.StringIO()
    bar = Progress(2, "copy", stream=log)
    clock[0] += 10
    bar.update(5)
    assert "100 %" in log.getvalue()


@pytest.mark.parametrize("total, done", [(0, 0), (10, 0)])
def test_nothing_to_do_or_nothing_done_divides_by_no_zero(clock, total, done):
    log = io.StringIO()
    bar = Progress(total, "copy", stream=log)
    clock[0] += 10
    bar.update(done)
    assert "copy" in log.getvalue()


def test_a_terminal_gets_a_bar_that_is_removed_at_the_end():
    terminal = Terminal()
    with Progress(4, "train", stream=terminal) as bar:
        bar.update(1, "loss 3.2")
    text = terminal.getvalue()
    assert "train" in text and "1/4" in text and "loss 3.2" in text
    assert text.split("\r")[-1].strip() == ""


def test_a_child_reports_to_the_file_its_parent_named(tmp_path, monkeypatch):
    path = tmp_path / "progress"
    monkeypatch.setenv(progress.REPORT_VARIABLE, str(path))
    report(3, 8.5, "epoch 2")
    assert read_report(path) == (3.0, 8.5, "epoch 2")
    report(4, 8.5)
    assert read_report(path) == (4.0, 8.5, "")


def test_without_a_parent_a_report_goes_nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv(progress.REPORT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    report(1, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_note_of_several_lines_or_tabs_survives_as_one_line(tmp_path, monkeypatch):
    path = tmp_path / "progress"
    monkeypatch.setenv(progress.REPORT_VARIABLE, str(path))
    report(1, 2, "a\tb\nc")
    assert read_report(path).note.split() == ["a", "b", "c"]


@pytest.mark.parametrize("content", [None, b"", b"1\t2", b"one\ttwo\tnote", b"\xff"])
def test_no_report_yet_or_an_unreadable_one_is_none(tmp_path, content):
    path = tmp_path / "progress"
    if content is not None:
        path.write_bytes(content)
    assert read_report(path) is None
