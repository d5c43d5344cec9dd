"""``exp augment`` draws, and says what it needs."""

import numpy
import pytest
import soundfile

from espnet_ext.cli import main
from tests.shared import REPOSITORY


@pytest.fixture
def recording(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    noise = numpy.random.RandomState(0).randn(16000) * 0.1
    soundfile.write(tmp_path / "a.wav", noise, 16000)
    return tmp_path / "a.wav"


@pytest.mark.slow
def test_a_picture_shows_the_frames_before_and_after(recording, capsys):
    picture = recording.with_suffix(".png")
    words = [str(recording), "--output", str(picture), "--seed", "2"]
    name = "conformer_specaugweia_rndresize09_12_rndframedrop01"
    assert main(["exp", "augment", name, "--wav", *words]) == 0
    line = capsys.readouterr().out
    # 8,000 samples: (8000 - 520) / 80 + 1 frames, resized and a tenth dropped
    assert ": 94 frames, afterwards " in line
    after = [int(n) for n in line.split("afterwards ")[1].split(",")]
    assert len(after) == 3 and all(60 < frames < 120 for frames in after)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_without_augmentation_there_is_nothing_to_draw(recording, capsys):
    assert main(["exp", "augment", "conformer", "--wav", str(recording)]) == 1
    assert "specaug is None" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_no_recording_is_named(recording, capsys):
    recording.write_text("text")
    assert main(["exp", "augment", "start", "--wav", str(recording)]) == 1
    assert f"error: {recording}: " in capsys.readouterr().err
