"""The telephone: two dry sides in, two band-limited noisy mu-law sides out.

Order: speech is set to a level, a little of the other side leaks in, both pass the
band filter together with the noise of the line, and the sum is mu-law coded.

Ref: ITU-T G.711 (mu-law).
"""

import math
import zlib
from dataclasses import dataclass
from typing import Callable, List, Tuple

import numpy as np

from espnet_ext.corpus.embedded.settings import Difficulty
from espnet_ext.corpus.embedded.synthesis import Spoken
from espnet_ext.corpus.embedded.timeline import RATE, PlacedCall, resampled_length

FILTER_ORDER = 8
SOUND_LEVEL = 0.5  # of the speech of the same side
LAUGH_HZ = 5.0
NOISE_POLE = 0.7  # the line's noise falls with frequency
MULAW_BIAS, MULAW_CLIP = 132, 32635


@dataclass(frozen=True)
class Line:
    """What was drawn for one side of a call."""

    level_dbfs: float
    snr_db: float


def render(
    placed: PlacedCall,
    spoken: Callable[[int], Spoken],
    difficulty: Difficulty,
    seed: int,
) -> Tuple[np.ndarray, List[Line]]:
    """The audio of a call.

    Returns:
        uint8 mu-law codes [samples, 2], and the line of each side.
    """
    from scipy.signal import butter, sosfilt

    source = np.random.default_rng([seed, zlib.crc32(placed.call.name.encode())])
    band = butter(
        FILTER_ORDER, difficulty.band_hz, btype="bandpass", fs=RATE, output="sos"
    )
    lines = [
        Line(source.uniform(*difficulty.level_dbfs), source.uniform(*difficulty.snr_db))
        for _ in range(2)
    ]
    dry = []
    for side in range(2):
        signal, active = _dry_side(placed, spoken, side, source)
        signal = sosfilt(band, signal)
        level = _rms(signal[active])
        gain = _amplitude(lines[side].level_dbfs) / level if level > 0 else 0.0
        dry.append(signal * gain)
    leak = _amplitude(difficulty.echo_db)
    delay = round(difficulty.echo_delay_s * RATE)
    sides = []
    for side in range(2):
        echo = np.roll(dry[1 - side], delay)  # calls end in silence: nothing wraps
        noise = sosfilt(band, _line_noise(placed.length, source))
        noise *= _amplitude(lines[side].level_dbfs - lines[side].snr_db) / _rms(noise)
        sides.append(dry[side] + leak * echo + noise)
    return mulaw(np.stack(sides, axis=1)), lines


def mulaw(samples: np.ndarray) -> np.ndarray:
    """G.711 mu-law codes (uint8, same shape) of samples in [-1, 1]."""
    linear = np.clip(np.rint(samples * 32768.0), -MULAW_CLIP, MULAW_CLIP).astype(int)
    magnitude = np.abs(linear) + MULAW_BIAS
    exponent = np.frexp(magnitude.astype(float))[1] - 8  # highest bit 7..14 -> 0..7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(linear < 0, 0x80, 0)
    return (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)


def _dry_side(
    placed: PlacedCall,
    spoken: Callable[[int], Spoken],
    side: int,
    source: np.random.Generator,
) -> Tuple[np.ndarray, np.ndarray]:
    """float64 [N] of speech and sounds, and a mask of where speech is."""
    signal = np.zeros(placed.length)
    active = np.zeros(placed.length, dtype=bool)
    for index, segment in enumerate(placed.segments):
        if segment.turn.side != side:
            continue
        if any(token.spoken for token in segment.turn.sentence):
            speech = to_telephone_rate(spoken(index))
            where = slice(segment.speech_start, segment.speech_start + len(speech))
            signal[where] += speech
            active[where] = True
    speech_level = _rms(signal[active]) or _amplitude(-20.0)
    for segment in placed.side(side):
        for token, (start, end) in zip(segment.turn.sentence, segment.spans):
            if token.kind == "sound":
                sound = _sound(end - start, token.ms98 == "[laughter]", source)
                signal[start:end] += SOUND_LEVEL * speech_level * sound
    return signal, active


def to_telephone_rate(spoken: Spoken) -> np.ndarray:
    """float64 samples at 8 kHz, full scale 1."""
    from scipy.signal import resample_poly

    divisor = math.gcd(RATE, spoken.rate)
    speech = resample_poly(
        spoken.samples / 32768.0, RATE // divisor, spoken.rate // divisor
    )
    return speech[: resampled_length(len(spoken.samples), spoken.rate)]


def _sound(length: int, laughter: bool, source: np.random.Generator) -> np.ndarray:
    """A burst of noise; for laughter it comes in pulses."""
    envelope = np.hanning(length)
    if laughter:
        pulses = np.sin(2 * np.pi * LAUGH_HZ * np.arange(length) / RATE)
        envelope *= np.clip(pulses, 0, None)
    return source.standard_normal(length) * envelope


def _line_noise(length: int, source: np.random.Generator) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -NOISE_POLE], source.standard_normal(length))


def _rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(signal**2))) if len(signal) else 0.0


def _amplitude(decibel: float) -> float:
    return 10.0 ** (decibel / 20.0)
