"""The walk through the stages, as a user of run.sh sees it."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from espnet_ext.files import read_lines
from espnet_ext.recipe import cli
from tests.recipe.folders import make_recipe
from tests.shared import REPOSITORY

SETTINGS = "--test_sets rt03s --fs 8k --nj 2 --ngpu 0 --use_lm false --lang en".split()


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_recipe(tmp_path)


def run(capsys, *words) -> str:
    """Stages 3-5; returns the screen."""
    status = cli.main([*SETTINGS, "--stage", "3", "--stop_stage", "5", *words])
    screen = capsys.readouterr()
    assert status == 0, screen.err
    return screen.out


def ran(screen: str) -> set:
    """Numbers of the stages that did something."""
    lines = [line for line in screen.splitlines() if " finished in " in line]
    return {int(line.split("Stage ")[1].split()[0]) for line in lines}


def test_a_second_run_does_nothing_and_says_so(recipe, capsys):
    assert ran(run(capsys, "--nbpe", "20")) == {3, 4, 5}
    again = run(capsys, "--nbpe", "20")
    assert ran(again) == set() and again.count("skipped, unchanged") == 3


def test_a_changed_setting_runs_exactly_the_stages_that_depend_on_it(recipe, capsys):
    run(capsys, "--nbpe", "20")
    other = run(capsys, "--nbpe", "22")
    assert ran(other) == {5} and "stage 5 runs again: nbpe 20 -> 22" in other
    assert ran(run(capsys, "--nbpe", "20")) == set()  # the first list is still there
    assert ran(run(capsys, "--nbpe", "20", "--nj", "1")) == set()
    # another limit that drops nothing: filtered again, and nothing after it changes
    longer = run(capsys, "--nbpe", "20", "--max_wav_duration", "30")
    assert ran(longer) == {4} and "max_wav_duration 20.0 -> 30.0" in longer
    other_audio = run(capsys, "--nbpe", "20", "--audio_format", "wav")
    assert {3, 4} <= ran(other_audio) and 5 not in ran(other_audio)


def test_a_changed_transcript_runs_what_depends_on_it(recipe, capsys):
    run(capsys, "--nbpe", "20")
    text = recipe / "data/train/text"
    lines = read_lines(text)
    text.write_text("\n".join([lines[0] + " house", *lines[1:]]) + "\n")
    screen = run(capsys, "--nbpe", "20")
    assert ran(screen) == {3, 4, 5} and "data/train/text has changed" in screen
    assert "dev" not in screen.split("stage 3 runs again")[1].splitlines()[0]


def test_force_runs_a_stage_again(recipe, capsys):
    run(capsys, "--nbpe", "20")
    forced = cli.main([*SETTINGS, *"--stage 4 --stop_stage 4 --force true".split()])
    assert forced == 0 and ran(capsys.readouterr().out) == {4}


def test_each_stage_shows_its_numbers_and_its_log(recipe, capsys):
    screen = run(capsys, "--nbpe", "20")
    assert "8 utterances" in screen and "20: <blank> <unk>" in screen
    for line in screen.splitlines():
        if line.strip().startswith("log "):
            assert (recipe / line.split()[-1]).is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--stage", "99"], "1 to 14"),
        (["--stop_stgae", "5"], "did you mean --stop_stage"),
        (["--asr_config", "conf/none.yaml"], "conf/none.yaml"),
        (["--stage", "4", "--test_sets", "x", "--dumpdir", "other"], "--stage 3"),
        (["--stage", "1", "--corpus", "embedded"], "local/data.sh"),
    ],
)
def test_bad_input_ends_with_a_message_before_anything_is_written(
    recipe, capsys, words, message
):
    assert cli.main([*SETTINGS, *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    written = {path.name for path in recipe.iterdir()} - {"exp"}
    assert written == {"data", "downloads"}
    assert not (recipe / "downloads" / "embedded").exists()


def start(recipe, *words, **more) -> subprocess.Popen:
    command = [sys.executable, "-m", "espnet_ext.recipe", *SETTINGS, *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command,
        cwd=recipe,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_after_ctrl_c_in_a_stage_the_rerun_continues(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path, {"train": 400, "dev": 2, "rt03s": 2})
    audio = tmp_path / "dump/raw/audio/train"
    process = start(tmp_path, "--stage", "3", "--stop_stage", "3")
    end = time.monotonic() + 20
    while not list(audio.rglob("*.flac")) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130 and "run the same command again" in error
    written = {path: path.stat().st_mtime_ns for path in audio.rglob("train*.flac")}
    assert 0 < len(written) < 400
    screen = run(capsys, "--stop_stage", "3")
    assert "stage 3 continues" in screen
    assert len(list(audio.rglob("train*.flac"))) == 400
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_a_full_device_is_named_and_the_rerun_continues(tmp_path, monkeypatch, capsys):
    """A limit on file sizes stands for the full device: writing fails alike."""
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    limit = 3000  # bytes; each audio file needs more, each list less

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = ["--stage", "3", "--stop_stage", "3", "--audio_format", "wav"]
    process = start(tmp_path, *words, preexec_fn=limited)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "device is full or a limit is reached" in error and "free some" in error
    assert not list(tmp_path.rglob("*.part*"))
    assert "stage 3 continues" in run(capsys, *words)
