"""Stage 3: one audio file an utterance."""

import dataclasses

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.cuts import cuts_of, pcm_samples
from espnet_ext.corpus.kaldi_dir import read_data_dir, write_data_dir
from espnet_ext.errors import FormatError, MissingInputError, StageFailedError
from espnet_ext.files import read_lines
from espnet_ext.recipe.stages import format as stage
from espnet_ext.recipe.state import Decision, begin, decide, finish
from tests.recipe.folders import (
    LENGTH_S,
    RATE_HZ,
    SETS,
    context,
    make_recipe,
    make_set,
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


def test_segments_write_no_audio_and_say_where_it_is(recipe):
    run_stage(3, "--audio_format", "segments")
    assert not (recipe / "dump/raw/audio").exists()
    for name, count in SETS.items():
        folder = f"dump/raw/{'org/' * (name in ('train', 'dev'))}{name}"
        original = read_data_dir(f"data/{name}")
        assert read_data_dir(folder) == original
        lines = dict(line.split(" ", 1) for line in read_lines(f"{folder}/speech.scp"))
        assert len(lines) == count
        for u in original:
            times = f"{u.start_s:.2f}:{u.end_s:.2f}"
            expected = f"{u.channel} {RATE_HZ} 1.0 {times} {u.audio_path}"
            assert lines[u.utterance_id] == expected
        counts = dict(map(str.split, read_lines(f"{folder}/utt2num_samples")))
        assert set(counts.values()) == {str(int(LENGTH_S * RATE_HZ))}


def test_changed_audio_is_noticed_though_it_is_not_copied(recipe):
    words = ["--audio_format", "segments"]
    stamp = recipe / "dump/raw/rt03s/audio_checksum"
    run_stage(3, *words, only="rt03s")
    first = stamp.read_text()
    run_stage(3, *words, only="rt03s")
    assert stamp.read_text() == first
    make_set(recipe, "rt03s", 3)
    run_stage(3, *words, only="rt03s")
    assert stamp.read_text() != first


def test_from_dumped_audio_to_segments_and_back(recipe):
    run_stage(3, only="rt03s")
    assert (recipe / "dump/raw/audio/rt03s").exists()
    run_stage(3, "--audio_format", "segments", only="rt03s")
    assert not (recipe / "dump/raw/audio/rt03s").exists()
    run_stage(3, "--audio_format", "wav", only="rt03s")
    assert not (recipe / "dump/raw/rt03s/speech.scp").exists()
    assert all(path.endswith(".wav") for path in _audio("dump/raw/rt03s"))


def _audio(folder):
    return [u.audio_path for u in read_data_dir(folder)]


@pytest.mark.parametrize("audio_format", ["flac", "segments"])
def test_segments_that_are_joined_have_no_gap(recipe, audio_format):
    utterances = read_data_dir("data/rt03s")
    first = dataclasses.replace(utterances[0], end_s=1.5)
    parts = f"{first.utterance_id} 0.00 0.50 1.00 1.50\n"
    write_data_dir("data/rt03s", [first], {"utt2parts": parts})
    run_stage(3, "--audio_format", audio_format, only="rt03s")
    whole, _ = soundfile.read(first.audio_path, dtype="int16")
    expected = np.concatenate([whole[:4000, 0], whole[8000:12000, 0]])
    if audio_format == "flac":
        samples, _ = soundfile.read(_audio("dump/raw/rt03s")[0], dtype="int16")
    else:
        lines = read_lines("dump/raw/rt03s/speech.scp")
        samples = pcm_samples(cuts_of(lines, "speech.scp")[first.utterance_id])
    np.testing.assert_array_equal(samples, expected)


def test_the_mark_of_a_selection_on_a_test_set_goes_along(recipe):
    for name in ("train", "rt03s"):
        (recipe / f"data/{name}/SELECTION_ON_TEST_SET").write_text("hub5e_00\n")
    run_stage(3)
    run_stage(4)
    for folder in ("org/train", "train", "rt03s"):
        assert (recipe / "dump/raw" / folder / "SELECTION_ON_TEST_SET").exists()
    assert not (recipe / "dump/raw/dev/SELECTION_ON_TEST_SET").exists()


def test_filtered_segments_keep_their_lines(recipe):
    words = ["--audio_format", "segments", "--max_wav_duration", "0.4"]
    run_stage(3, *words)
    with pytest.raises(FormatError, match="no utterance is left"):
        run_stage(4, *words)
    words[-1] = "20"
    run_stage(4, *words)
    lines = [line.split()[0] for line in read_lines("dump/raw/train/speech.scp")]
    assert lines == [u.utterance_id for u in read_data_dir("dump/raw/train")]
