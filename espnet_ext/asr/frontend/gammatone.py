"""Gammatone features: what the original was trained on, beside ESPnet's log-mel.

    difference of samples -> FIR gammatone filters -> absolute value
    -> integration over time (Hanning window) -> 10th root -> cosine transform

Every frame depends on a fixed stretch of samples and nothing else (no padding, no
statistics), so features of a stream can be computed piece by piece.

Ref: Schlueter et al. 2007, Gammatone features and feature combination for large
vocabulary speech recognition; Glasberg and Moore 1990 (bandwidth); Greenwood 1990.
Source: reference/parity/README.md "gammatone"; returnn_common asr/gt.py.
"""

# Dimensions: B batch, N samples, T frames, C channels, K filter length, W window
import math
from typing import Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from espnet2.asr.frontend.abs_frontend import AbsFrontend

FILTER_ORDER = 4
ROOT = 0.1
FLOOR = 1e-6
FREQUENCY_POINTS = 512  # of the response that is normalised to 0 dB


def center_frequencies(channels: int, low: float, high: float) -> np.ndarray:
    """Frequencies in Hz that are equally far apart on the basilar membrane.

    f(x) = 165.4 (10^(2.1 x) - 0.88), the Greenwood function of man.
    """

    def place(frequency: float) -> float:
        return math.log10(frequency / 165.4 + 0.88) / 2.1

    places = np.linspace(place(low), place(high), channels)
    return 165.4 * (10.0 ** (2.1 * places) - 0.88)


def gammatone_filters(
    channels: int, length: int, sample_rate: int, low: float, high: float
) -> np.ndarray:
    """Impulse responses [K, C] with a largest gain of one.

    t^3 exp(-2 pi b t) cos(2 pi f t) at t = 1/rate .. K/rate, bandwidth
    b = 24.7 + f / 9.264491981582191.
    """
    frequencies_C = center_frequencies(channels, low, high)
    bandwidths_C = 24.7 + frequencies_C / 9.264491981582191
    times_K1 = (np.arange(1, length + 1) / sample_rate)[:, None]
    filters_KC = (
        times_K1 ** (FILTER_ORDER - 1)
        * np.exp(-2.0 * np.pi * bandwidths_C * times_K1)
        * np.cos(2.0 * np.pi * frequencies_C * times_K1)
    )
    # frequencies 0 .. below half the sample rate; a longer filter is not cut
    points = FREQUENCY_POINTS
    angles = np.pi * np.arange(points) / points
    waves = np.exp(-1j * angles[:, None] * np.arange(length))
    return filters_KC / np.abs(waves @ filters_KC).max(axis=0)


def cosine_transform(channels: int) -> np.ndarray:
    """Matrix [C, C] of the DCT-II: row k holds 2 cos(pi k (2 n + 1) / (2 C))."""
    n = np.arange(channels)
    return 2.0 * np.cos(np.pi * n[:, None] * (2 * n + 1) / (2 * channels))


class GammatoneFrontend(AbsFrontend):
    """Gammatone features of waveforms.

    Args:
        fs: Sample rate in Hz.
        channels: Number of filters and of features.
        freq_min: Centre of the lowest filter in Hz.
        freq_max: Centre of the highest filter in Hz; at most fs / 2.
        filter_seconds: Length of the filters.
        window_seconds: Length of the Hanning window of the integration.
        shift_seconds: From frame to frame.
        dct: Apply the cosine transform (the original's features may be without).

    The features of the original's Switchboard system are normalised per segment and
    divided by 3 afterwards (reference/data.md); that is left to ``normalize``.
    """

    def __init__(
        self,
        fs: Union[int, str] = 8000,
        channels: int = 40,
        freq_min: float = 100.0,
        freq_max: float = 3800.0,
        filter_seconds: float = 0.04,
        window_seconds: float = 0.025,
        shift_seconds: float = 0.01,
        dct: bool = True,
    ):
        super().__init__()
        if isinstance(fs, str):
            number = fs.lower().removesuffix("k")
            fs = int(float(number) * (1000 if number != fs.lower() else 1))
        if not 0.0 < freq_min < freq_max <= fs / 2:
            raise ValueError(
                f"freq_min {freq_min} and freq_max {freq_max}: expected 0 < freq_min < "
                f"freq_max <= {fs / 2} (half of fs)"
            )
        self.channels = channels
        self.filter_length = round(filter_seconds * fs)
        self.window = round(window_seconds * fs)
        self.shift = round(shift_seconds * fs)
        filters_KC = gammatone_filters(
            channels, self.filter_length, fs, freq_min, freq_max
        )
        # not part of a checkpoint: they follow from the options
        self.register_buffer("filters", _float(filters_KC.T[:, None]), persistent=False)
        hanning = np.hanning(self.window)
        self.register_buffer("hanning", _float(hanning[None, None]), persistent=False)
        matrix = cosine_transform(channels) if dct else np.eye(channels)
        self.register_buffer("transform", _float(matrix), persistent=False)

    @property
    def span(self) -> int:
        """Number of samples that a frame depends on."""
        return self.filter_length + self.window

    def output_size(self) -> int:
        """Number of features."""
        return self.channels

    def frames(self, samples_B: torch.Tensor) -> torch.Tensor:
        """Number of frames; none where there are fewer samples than ``span``."""
        starts = samples_B - self.span + 1
        frames_B = torch.div(starts + self.shift - 1, self.shift, rounding_mode="floor")
        return frames_B.clamp(min=0)

    def features(self, samples_BN: torch.Tensor) -> torch.Tensor:
        """Features [B, T, C] of all samples [B, N], one frame at least."""
        missing = max(self.span - samples_BN.size(1), 0)
        samples_B1N = F.pad(samples_BN, (0, missing)).unsqueeze(1)
        changes_B1N = samples_B1N[..., 1:] - samples_B1N[..., :-1]
        bands_BCN = F.conv1d(changes_B1N, self.filters.to(samples_BN.dtype)).abs()
        hanning = self.hanning.to(samples_BN.dtype)
        energies = F.conv1d(
            bands_BCN.flatten(0, 1).unsqueeze(1), hanning, stride=self.shift
        )
        compressed = (
            energies.unflatten(0, (-1, self.channels)).squeeze(2) + FLOOR
        ) ** ROOT
        return compressed.transpose(1, 2) @ self.transform.to(samples_BN.dtype).T

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Waveforms [B, N] and lengths [B] to features [B, T, C] and lengths [B].

        Frame t depends on the samples t shift .. t shift + span - 1. There is no
        padding at either end.
        """
        features_BTC = self.features(input)
        frames_B = self.frames(input_lengths)
        return features_BTC[:, : int(frames_B.max()) if len(frames_B) else 0], frames_B


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()
