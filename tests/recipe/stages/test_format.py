"""Stage 3: one audio file an utterance."""

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.errors import MissingInputError, StageFailedError
from espnet_ext.files import read_lines
from espnet_ext.recipe.stages import format as stage
from espnet_ext.recipe.state import Decision, begin, decide, finish
from tests.recipe.folders import (
    LENGTH_S,
    RATE_HZ,
    SETS,
    context,
    make_recipe,
    run_stage,
)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_recipe(tmp_path)


def dumped(folder):
    return {u.utterance_id: u for u in read_data_dir(folder)}


def test_each_utterance_is_its_own_file_with_exactly_its_samples(recipe):
    run_stage(3)
    for name, count in SETS.items():
        folder = f"dump/raw/{'org/' * (name in ('train', 'dev'))}{name}"
        written = dumped(folder)
        assert len(written) == count
        whole, _ = soundfile.read(f"downloads/{name}.wav", dtype="int16")
        for original in read_data_dir(f"data/{name}"):
            path = written[original.utterance_id].audio_path
            samples, rate = soundfile.read(path, dtype="int16")
            start = int(original.start_s * RATE_HZ)
            expected = whole[start : start + int(LENGTH_S * RATE_HZ), original.channel]
            assert rate == RATE_HZ and np.array_equal(samples, expected)
            assert written[original.utterance_id].text == original.text
        counts = dict(map(str.split, read_lines(f"{folder}/utt2num_samples")))
        assert set(counts.values()) == {str(int(LENGTH_S * RATE_HZ))}


def test_another_sampling_rate_and_format_are_made(recipe):
    run_stage(3, "--fs", "16k", "--audio_format", "wav")
    for utterance in dumped("dump/raw/rt03s").values():
        info = soundfile.info(utterance.audio_path)
        assert (info.format, info.samplerate) == ("WAV", 16000)
        assert info.frames == pytest.approx(LENGTH_S * 16000, abs=2)


def test_perturbed_speech_is_shorter_and_higher_by_the_factor(tmp_path, monkeypatch):
    """A tone of 1000 Hz played 1.25 times as fast is one of 1250 Hz."""
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    times = np.arange(RATE_HZ * 9) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 1000 * times)
    soundfile.write("downloads/train.wav", np.stack([tone, tone], 1), RATE_HZ)
    words = ["--speed_perturb_factors", "1.25 1.0"]
    run_stage(2, *words)
    run_stage(3, *words)
    for name, utterance in dumped("dump/raw/org/train_sp").items():
        samples, rate = soundfile.read(utterance.audio_path)
        factor = 1.25 if name.startswith("sp1.25-") else 1.0
        assert len(samples) == pytest.approx(LENGTH_S / factor * RATE_HZ, abs=2)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        peak_hz = np.argmax(spectrum) * rate / len(samples)
        assert peak_hz == pytest.approx(1000 * factor, abs=rate / len(samples))


def test_the_checksum_tells_changed_samples_and_nothing_else(recipe):
    stamp = recipe / "dump/raw/org/train/audio_checksum"
    run_stage(3, only="train")
    first = stamp.read_text(encoding="utf-8")
    run_stage(3, "--nj", "1", "--audio_format", "wav", only="train")
    assert stamp.read_text(encoding="utf-8") == first
    samples, _ = soundfile.read("downloads/train.wav", dtype="int16")
    samples[10, 0] += 1
    soundfile.write("downloads/train.wav", samples, RATE_HZ, subtype="PCM_16")
    run_stage(3, only="train")
    assert stamp.read_text(encoding="utf-8") != first


def test_an_interrupted_stage_keeps_the_files_it_had_written(recipe):
    run_stage(3, only="rt03s")
    target = recipe / "dump/raw/rt03s"
    files = sorted(u.audio_path for u in dumped(target).values())
    times = [(recipe / file).stat().st_mtime_ns for file in files]
    (recipe / files[0]).unlink()
    (recipe / files[1]).write_bytes(b"half a file")
    here = context()
    (unit,) = [u for u in stage.units(here) if u.target == "dump/raw/rt03s"]
    stage.run(here, [(unit, Decision(True, "continues", resume=True))])
    new = [(recipe / file).stat().st_mtime_ns for file in files]
    assert all(a != b for a, b in zip(times, new))
    first = stage.run(here, [(unit, Decision(True, "continues", resume=True))])
    again = [(recipe / file).stat().st_mtime_ns for file in files]
    assert again == new and first


def test_each_set_depends_on_its_own_files_alone(recipe):
    run_stage(3)
    here = context()
    for unit in stage.units(here):
        begin(unit)
        finish(unit, 0.0)
    text = recipe / "data/dev/text"
    text.write_text(text.read_text().replace("yeah", "okay") + "", encoding="utf-8")
    lines = read_lines(text)
    text.write_text("\n".join([lines[0] + " more", *lines[1:]]) + "\n")
    due = [unit.target for unit in stage.units(here) if decide(unit).run]
    assert due == ["dump/raw/org/dev"]


def test_a_missing_set_names_the_stage_that_makes_it(recipe):
    (unit,) = [
        u for u in stage.units(context("--test_sets", "eval2000")) if "eval" in u.target
    ]
    with pytest.raises(MissingInputError, match="eval2000/wav.scp.*(?s:.*)--stage 1"):
        decide(unit)


def test_audio_that_cannot_be_read_is_named(recipe):
    (recipe / "downloads/train.wav").write_bytes(b"<html>")
    with pytest.raises(StageFailedError, match="downloads/train.wav"):
        run_stage(3)
