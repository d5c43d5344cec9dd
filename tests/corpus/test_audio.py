"""Segments equal what sph2pipe decodes, sample by sample, or end in a clear error."""

import os
import stat
import sys
import wave

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.audio import (
    audio_info,
    check_audio_files,
    holds_only_numbers,
    read_segment,
)
from espnet_ext.errors import AudioError, MissingInputError, ToolMissingError
from tests.corpus.trees import RATE, noise, sphere_bytes, write_call
from tests.shared import shared_file

SHORTEN = ["1pcbe", "1pcle", "1ulaw", "2pcbe", "2pcle", "2ulaw"]


def as_int16(samples):
    return np.round(samples * 32768).astype(np.int16)


def shorten_vector(name):
    """The compressed file, and what sph2pipe makes of it: int16 [N, channels]."""
    raw = shared_file(f"data/sphere/123_{name}_shn.s16le.raw")
    samples = np.fromfile(raw, "<i2").reshape(-1, int(name[0]))
    return shared_file(f"data/sphere/123_{name}_shn.sph"), samples


@pytest.fixture
def no_sph2pipe(monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def install_sph2pipe(folder, samples=None, rate=20000, status=0):
    """A program of that name: checks its arguments, writes the WAV it is given."""
    answer = folder / "answer.wav"
    if samples is not None:
        soundfile.write(answer, samples, rate, subtype="PCM_16")
    program = folder / "sph2pipe"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "assert sys.argv[1:4] == ['-p', '-f', 'wav'] and sys.argv[4].endswith('.sph')\n"
        f"status = {status}\n"
        "if status:\n"
        "    sys.exit('bad magic number in the shorten stream')\n"
        f"sys.stdout.buffer.write(open({str(answer)!r}, 'rb').read())\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_law_file_equals_the_samples_of_sph2pipe():
    expected = np.fromfile(shared_file("data/sphere/123_2alaw.s16le.raw"), "<i2")
    for channel in (0, 1):
        path = shared_file("data/sphere/123_2alaw.sph")
        samples, rate = read_segment(path, channel, 0.0, None)
        assert rate == 20000
        np.testing.assert_array_equal(as_int16(samples), expected[channel::2])


@pytest.mark.parametrize("name", ["ulaw2ch_r2style", "mulaw2ch_r1style"])
def test_both_header_styles_of_switchboard_decode_by_the_mu_law_formula(name):
    """Oracle: the expansion of ITU-T G.711 written out."""
    path = shared_file(f"data/sphere/{name}.sph")
    codes = ~np.frombuffer(path.read_bytes()[1024:], np.uint8)
    exponent, mantissa = (codes >> 4) & 7, codes & 15
    magnitude = ((mantissa.astype(int) * 2 + 33) << exponent) - 33
    expected = np.where(codes & 128, -magnitude, magnitude) * 4
    for channel in (0, 1):
        samples, _ = read_segment(path, channel, 0.0, None)
        np.testing.assert_array_equal(samples * 32768, expected[channel::2])


def test_pcm_file_equals_its_bytes():
    path = shared_file("data/sphere/lhotse_stereo_pcm.sph")
    expected = np.frombuffer(path.read_bytes()[1024:], "<i2")
    for channel in (0, 1):
        samples, _ = read_segment(path, channel, 0.0, None)
        np.testing.assert_array_equal(as_int16(samples), expected[channel::2])


@pytest.mark.parametrize("name", SHORTEN)
def test_shorten_without_sph2pipe_is_refused_by_name(name, no_sph2pipe):
    path, _ = shorten_vector(name)
    with pytest.raises(ToolMissingError, match=f"123_{name}_shn.sph") as caught:
        read_segment(path, 0, 0.0, None)
    assert "sph2pipe" in caught.value.next_step


@pytest.mark.parametrize("name", SHORTEN)
def test_shorten_through_sph2pipe_gives_the_segment(name, no_sph2pipe):
    path, expected = shorten_vector(name)
    install_sph2pipe(no_sph2pipe, expected)
    for channel in range(expected.shape[1]):
        samples, rate = read_segment(path, channel, 0.5, 1.0)
        assert rate == 20000
        np.testing.assert_array_equal(as_int16(samples), expected[10000:20000, channel])


def test_a_failing_sph2pipe_is_named_with_its_message(no_sph2pipe, tmp_path):
    path = tmp_path / "bad.sph"
    path.write_bytes(sphere_bytes(noise(1.0), coding="ulaw,embedded-shorten-v2.00"))
    install_sph2pipe(no_sph2pipe, status=1)
    with pytest.raises(AudioError, match="bad.sph: sph2pipe failed: bad magic"):
        read_segment(path, 0, 0.0, None)


def test_preflight_lists_all_shorten_files_before_anything_else(no_sph2pipe, tmp_path):
    fine = write_call(tmp_path / "fine.sph", 1.0)
    content = sphere_bytes(noise(1.0), coding="ulaw,embedded-shorten-v2.00")
    paths = [tmp_path / f"fe_03_{n:05d}.sph" for n in range(30)]
    for path in paths:
        path.write_bytes(content)
    with pytest.raises(ToolMissingError) as caught:
        check_audio_files([fine, *paths])
    message = str(caught.value)
    assert "30 file(s)" in message and str(paths[0]) in message
    assert str(fine) not in message and "10 more" in message


def test_preflight_names_every_broken_file_and_accepts_the_rest(tmp_path):
    fine = write_call(tmp_path / "fine.sph", 1.5)
    broken = {
        "cut.sph": sphere_bytes(noise(1.0))[:-2000],
        "page.sph": b"<!DOCTYPE html><html>Login</html>",
        "empty.sph": b"",
        "text.sph": b"hello, this is no audio\n" * 20,
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError) as caught:
        check_audio_files([fine, *(tmp_path / name for name in broken)])
    message = str(caught.value)
    assert "4 audio file(s)" in message
    for name, reason in zip(broken, ["truncated", "web page", "empty", "libsndfile"]):
        assert any(name in ln and reason in ln for ln in message.splitlines())
    assert check_audio_files([fine])[0].duration_s == 1.5


def test_segment_is_cut_at_the_rounded_samples(tmp_path):
    samples = noise(2.0)
    path = tmp_path / "x.sph"
    path.write_bytes(sphere_bytes(samples))
    whole, _ = read_segment(path, 1, 0.0, None)
    part, _ = read_segment(path, 1, 0.12, 1.37)
    assert part.dtype == np.float32 and part.shape == (int(1.25 * RATE),)
    np.testing.assert_array_equal(part, whole[960:10960])


@pytest.mark.parametrize("suffix, subtype", [("wav", "ULAW"), ("flac", "PCM_16")])
def test_converted_copies_give_the_same_segment_as_sphere(tmp_path, suffix, subtype):
    write_call(tmp_path / "x.sph", 1.0)
    both = [read_segment(tmp_path / "x.sph", side, 0.0, None)[0] for side in (0, 1)]
    copy = tmp_path / f"x.{suffix}"
    soundfile.write(copy, np.stack(both, axis=1), RATE, subtype=subtype)
    for side in (0, 1):
        samples, rate = read_segment(copy, side, 0.25, 0.75)
        assert rate == RATE
        np.testing.assert_array_equal(samples, both[side][2000:6000])


def test_an_end_just_past_the_file_is_the_end_of_the_file(tmp_path):
    path = write_call(tmp_path / "x.sph", 1.0)
    assert len(read_segment(path, 0, 0.5, 1.3)[0]) == 4000


@pytest.mark.parametrize(
    "channel, start, end, message",
    [
        (2, 0.0, 1.0, "channel 2"),
        (-1, 0.0, 1.0, "channel -1"),
        (0, 0.0, 9.0, "0.0 to 9.0 s"),
        (0, 1.2, 1.4, "holds no samples"),
        (0, 0.7, 0.7, "0.7 to 0.7"),
        (0, -0.1, 0.7, "-0.1"),
        (0, float("nan"), 0.7, "nan"),
    ],
)
def test_an_impossible_segment_is_an_error(tmp_path, channel, start, end, message):
    path = write_call(tmp_path / "x.sph", 1.0)
    with pytest.raises(AudioError, match=message):
        read_segment(path, channel, start, end)


def test_a_cut_wav_is_named_truncated(tmp_path):
    path = tmp_path / "x.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(AudioError, match="x.wav: truncated"):
        audio_info(path)


def test_absent_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(MissingInputError, match="gone.sph"):
        audio_info(tmp_path / "gone.sph")
    with pytest.raises(AudioError, match="cannot be read"):
        audio_info(tmp_path)  # a folder: unreadable for every user, root too


def test_samples_that_are_no_numbers_are_found(tmp_path):
    samples = np.zeros(100000, np.float32)
    soundfile.write(tmp_path / "good.wav", samples, RATE, subtype="FLOAT")
    samples[99999] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    assert holds_only_numbers(tmp_path / "good.wav")
    assert not holds_only_numbers(tmp_path / "bad.wav")


def test_file_names_with_blanks_and_umlauts_are_read(tmp_path):
    path = write_call(tmp_path / "übung 1" / "sw 02001.SPH", 0.5)
    assert os.path.exists(path) and audio_info(path).samples == 4000
