"""Workers that crash, hang or fail are tried again, and named when it does not help."""

import json
import sys

import numpy as np
import pytest

from espnet_ext.corpus.embedded import synthesis
from espnet_ext.corpus.embedded.settings import SIZES
from espnet_ext.corpus.embedded.speakers import (
    FEMALE_VARIANTS,
    MALE_VARIANTS,
    cast,
    family,
)
from espnet_ext.corpus.embedded.synthesis import WORKER, synthesise
from espnet_ext.errors import StageFailedError, ToolMissingError

SPEAKERS = cast(SIZES["tiny"], 1)["train"][:2]
TEXTS = {speaker: {f"{speaker.pin}-0": "hello there"} for speaker in SPEAKERS}

# a worker that speaks ones, after it has ended badly as often as it is told to
FAKE_WORKER = """
import json, os, signal, sys, time
import numpy as np
how, times, job_path, out_path = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
job = json.load(open(job_path))
counter = job_path + ".count"
count = int(open(counter).read()) if os.path.exists(counter) else 0
open(counter, "w").write(str(count + 1))
if count < times:
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(60)
    print("no voice of this name")
    sys.exit(3)
arrays = {"rate": np.int32(22050)}
for key, text in job["texts"].items():
    arrays[key] = np.ones(100, np.int16)
    arrays[key + ".words"] = np.zeros((1, 2), np.int32)
np.savez(out_path, **arrays)
"""


@pytest.fixture
def worker(tmp_path):
    """Makes the command line of a fake worker."""
    path = tmp_path / "fake_worker.py"
    path.write_text(FAKE_WORKER, encoding="utf-8")
    return lambda how, times: (sys.executable, str(path), how, str(times))


@pytest.mark.parametrize("how", ["segfault", "failure"])
def test_a_worker_that_ends_badly_twice_is_tried_a_third_time(tmp_path, worker, how):
    command = worker(how, 2)
    spoken = synthesise(TEXTS, tmp_path, worker_command=command)
    for speaker in SPEAKERS:
        assert len(spoken[speaker][f"{speaker.pin}-0"].samples) == 100


def test_after_three_crashes_the_voice_is_named(tmp_path, worker):
    with pytest.raises(StageFailedError) as error:
        synthesise(TEXTS, tmp_path, worker_command=worker("segfault", 99))
    assert "killed by signal 11" in str(error.value)
    assert any(speaker.voice in str(error.value) for speaker in SPEAKERS)


def test_the_last_words_of_a_failed_worker_are_reported(tmp_path, worker):
    with pytest.raises(StageFailedError, match="no voice of this name"):
        synthesise(TEXTS, tmp_path, worker_command=worker("failure", 99))


def test_a_worker_that_hangs_is_ended_and_tried_again(tmp_path, worker, monkeypatch):
    monkeypatch.setattr(synthesis, "TIMEOUT_S", 0.8)
    one = {SPEAKERS[0]: TEXTS[SPEAKERS[0]]}
    spoken = synthesise(one, tmp_path, worker_command=worker("hang", 1))
    assert len(spoken[SPEAKERS[0]][f"{SPEAKERS[0].pin}-0"].samples) == 100


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="pip install espeakng-loader"):
        synthesise(TEXTS, tmp_path)


def test_the_real_worker_speaks_and_times_words(tmp_path):
    speaker = SPEAKERS[0]
    text = "well i really like cooking"
    spoken = synthesise({speaker: {"a": text}}, tmp_path)[speaker]["a"]
    seconds = len(spoken.samples) / spoken.rate
    assert spoken.rate == 22050
    assert 0.8 < seconds < 3.5
    assert np.sqrt(np.mean(spoken.samples.astype(float) ** 2)) > 300
    positions, samples = spoken.words.T.tolist()
    assert positions == [0, 5, 7, 14, 19]
    assert samples == sorted(samples) and samples[-1] < len(spoken.samples)


def test_an_unknown_voice_is_a_clear_failure(tmp_path):
    import subprocess

    job = {"voice": "xx-nowhere", "rate_wpm": 170, "pitch": 50, "texts": {"a": "hi"}}
    job_path = tmp_path / "job.json"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    result = subprocess.run(
        [*WORKER, str(job_path), str(tmp_path / "out.npz")],
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "no voice xx-nowhere" in result.stderr
    assert not (tmp_path / "out.npz").exists()


def test_all_voices_of_the_cast_are_in_the_package():
    from pathlib import Path

    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    installed = {path.name for path in folder.iterdir()}
    assert set(FEMALE_VARIANTS + MALE_VARIANTS) <= installed
    left_out = "whisper whisperf robosoft UniRobot anikaRobot Demonic croak".split()
    assert not set(left_out) & set(FEMALE_VARIANTS + MALE_VARIANTS)


def test_versions_of_a_voice_are_one_family():
    assert family("steph2") == family("steph") != family("linda")
    assert family("Mike") == family("mike2")
    assert family("f1") != family("f2")
