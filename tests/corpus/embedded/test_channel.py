"""The telephone line, measured on sounds of known level and frequency."""

import io

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.embedded.channel import mulaw, render
from espnet_ext.corpus.embedded.script import Call, Turn
from espnet_ext.corpus.embedded.settings import SIZES, Difficulty
from espnet_ext.corpus.embedded.speakers import cast
from espnet_ext.corpus.embedded.sphere_writer import write_sphere
from espnet_ext.corpus.embedded.synthesis import Spoken
from espnet_ext.corpus.embedded.timeline import RATE, place, spoken_text
from espnet_ext.corpus.embedded.tokens import tokens

ESPEAK_RATE = 22050
TURNS = (Turn(0, tokens("yeah")), Turn(1, tokens("right"))) * 2
SEED = 4


def decode(codes):
    """float64 of mu-law codes, by libsndfile."""
    data = np.ascontiguousarray(codes).tobytes()
    samples, _ = soundfile.read(
        io.BytesIO(data),
        format="RAW",
        subtype="ULAW",
        samplerate=RATE,
        channels=codes.shape[1],
        always_2d=True,
    )
    return samples


def noise_burst(index):
    """Two seconds of white noise at 22.05 kHz, another one each turn."""
    _, spans = spoken_text(TURNS[index])
    samples = np.random.default_rng(index).normal(0, 3000, 2 * ESPEAK_RATE)
    events = np.array([[start, 0] for start, _ in spans])
    return Spoken(samples.astype(np.int16), ESPEAK_RATE, events)


@pytest.fixture(scope="module")
def line():
    """Decoded audio, timeline and lines of a call with narrow settings."""
    difficulty = Difficulty(snr_db=(20.0, 20.0), level_dbfs=(-25.0, -25.0))
    call = Call("sw02001", tuple(cast(SIZES["tiny"], 1)["train"][:2]), TURNS)
    placed = place(call, noise_burst, SEED)
    codes, lines = render(placed, noise_burst, difficulty, SEED)
    return decode(codes), placed, lines


def inside(placed, side, margin=0.1):
    """Samples where a side speaks, without the edges."""
    mask = np.zeros(placed.length, bool)
    for segment in placed.side(side):
        start, end = segment.spans[0]
        mask[start + int(margin * RATE) : end - int(margin * RATE)] = True
    return mask


def silent(placed):
    mask = np.ones(placed.length, bool)
    for segment in placed.segments:
        mask[segment.start : segment.end + RATE // 5] = False
    return mask


def decibel(signal):
    return 20 * np.log10(np.sqrt(np.mean(signal**2)))


def test_speech_has_the_level_that_was_asked_for(line):
    audio, placed, lines = line
    for side in range(2):
        assert lines[side].level_dbfs == -25.0
        level = decibel(audio[inside(placed, side), side])
        assert level == pytest.approx(-25.0, abs=0.7)


def test_noise_is_as_far_below_speech_as_asked_for(line):
    audio, placed, _ = line
    for side in range(2):
        speech = decibel(audio[inside(placed, side), side])
        noise = decibel(audio[silent(placed), side])
        # speech includes the noise, and mu-law adds a little
        assert speech - noise == pytest.approx(20.0, abs=1.0)


def test_nothing_but_the_telephone_band_passes(line):
    audio, placed, _ = line
    start, end = placed.side(0)[0].spans[0]  # joined pieces would have clicks
    signal = audio[start:end, 0]
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    frequency = np.fft.rfftfreq(len(signal), 1 / RATE)

    def band(low, high):
        chosen = (frequency >= low) & (frequency < high)
        return 10 * np.log10(power[chosen].mean())

    middle = band(500, 3000)
    assert band(0, 150) < middle - 30
    assert band(3700, 4000) < middle - 25
    assert band(300, 500) > middle - 3
    assert band(3000, 3300) > middle - 3


def test_the_other_side_leaks_in_at_the_level_asked_for():
    quiet = Difficulty(snr_db=(90.0, 90.0), level_dbfs=(-15.0, -15.0), echo_db=-25.0)
    call = Call("sw02001", tuple(cast(SIZES["tiny"], 1)["train"][:2]), TURNS)
    placed = place(call, noise_burst, SEED)
    audio = decode(render(placed, noise_burst, quiet, SEED)[0])
    only_other = inside(placed, 1, margin=0.4)
    difference = decibel(audio[only_other, 1]) - decibel(audio[only_other, 0])
    assert difference == pytest.approx(25.0, abs=0.7)


def test_draws_stay_in_their_ranges_and_follow_the_seed():
    call = Call("sw02001", tuple(cast(SIZES["tiny"], 1)["train"][:2]), TURNS)
    placed = place(call, noise_burst, SEED)
    drawn = [render(placed, noise_burst, Difficulty(), s)[1] for s in (1, 2, 3, 1)]
    assert drawn[0] == drawn[3] != drawn[1]
    for line in (line for lines in drawn for line in lines):
        assert 15.0 <= line.snr_db <= 30.0 and -30.0 <= line.level_dbfs <= -20.0


def test_mulaw_codes_are_those_of_libsndfile():
    """All 16-bit values, but for ties between two codes: the decoded error is equal."""
    linear = np.arange(-32768, 32768)
    ours = decode(mulaw(linear[:, None] / 32768.0))[:, 0] * 32768
    buffer = io.BytesIO()
    soundfile.write(buffer, linear.astype(np.int16), RATE, format="RAW", subtype="ULAW")
    theirs = decode(np.frombuffer(buffer.getvalue(), np.uint8)[:, None])[:, 0] * 32768
    assert np.abs(ours - linear).max() <= np.abs(theirs - linear).max()
    assert np.mean(np.abs(ours - linear)) <= np.mean(np.abs(theirs - linear)) + 0.5
    steps = np.unique(ours)
    assert len(steps) >= 254 and np.array_equal(steps, -steps[::-1])


@pytest.mark.parametrize("release_1", [False, True])
def test_sphere_files_are_read_by_libsndfile(tmp_path, release_1):
    codes = mulaw(np.random.default_rng(1).normal(0, 0.1, (4000, 2)))
    path = tmp_path / "sw02001.sph"
    write_sphere(path, codes, {"conversation_id": "2001"}, release_1)
    samples, rate = soundfile.read(path, always_2d=True)
    assert rate == RATE
    assert np.array_equal(samples, decode(codes))
    header = path.read_bytes()[:1024]
    assert header.startswith(b"NIST_1A\n   1024\n") and b"end_head\n" in header
    count = 8000 if release_1 else 4000
    assert f"sample_count -i {count}\n".encode() in header
    assert path.stat().st_size == 1024 + 8000
