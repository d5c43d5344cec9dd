"""ESPnet's log-mel features, computed a few utterances at a time.

    waveform -> windowed frames -> power spectrum -> mel filters -> logarithm

The arithmetic of ``DefaultFrontend`` in the same order, but the spectra of a group of
frames are made, used and forgotten while they are in the processor's cache, instead of
passing through memory once for each step. Nothing is computed for frequencies that no
filter looks at. Always in single precision, also under autocast: normalisation would
subtract large means from rounded products.

Ref: espnet2/asr/frontend/default.py, espnet2/layers/stft.py, espnet2/layers/log_mel.py.
"""

# Dimensions: B batch, N samples, T frames, W samples of a spectrum, K frequencies,
#             F filters
from typing import Tuple

import torch
import torch.nn.functional as F
from espnet2.asr.frontend.default import DefaultFrontend

from espnet_ext.layers.evaluation import is_evaluated_on_cpu, zero_after_
from espnet_ext.layers.products import linear

FRAMES = 1000  # whose spectra are in the cache together
FLOOR = 1e-10  # of LogMel


def is_covered(frontend: torch.nn.Module, speech: torch.Tensor) -> bool:
    """Whether ``log_mel`` gives what the frontend does: evaluation of its log-mel
    features on a CPU, one channel of single precision.
    """
    if type(frontend) is not DefaultFrontend or not frontend.apply_stft:
        return False
    stft = frontend.stft
    return (
        is_evaluated_on_cpu(speech)
        and not frontend.training
        and (stft.center, stft.normalized, stft.onesided) == (True, False, True)
        and frontend.logmel.log_base is None
        and speech.dtype == torch.float32
        and speech.dim() == 2  # speech enhancement is for several channels
        and speech.size(1) > stft.n_fft // 2
    )


def log_mel(
    frontend: DefaultFrontend, speech_BN: torch.Tensor, lengths_B: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Features [B, T, F], zero after the ends, and their lengths [B].

    Equal to ``frontend(speech_BN, lengths_B)`` but for the order in which a filter's
    frequencies are added, where ``is_covered``.
    """
    stft, hop = frontend.stft, frontend.stft.hop_length
    # a centred window, the waveform reflected at both ends: see torch.stft
    half = stft.n_fft // 2
    frames = (speech_BN.size(1) + 2 * half - stft.n_fft) // hop + 1
    rows = max(1, FRAMES // frames)
    spectrum = _Spectrum(frontend)
    features_BTF = speech_BN.new_empty(speech_BN.size(0), frames, frontend.n_mels)
    for group_BN, out_BTF in zip(speech_BN.split(rows), features_BTF.split(rows)):
        padded_BN = _reflected(group_BN, half)
        frames_BTW = padded_BN.unfold(1, stft.n_fft, hop)
        for part_BTW, part_BTF in zip(
            frames_BTW.split(FRAMES, 1), out_BTF.split(FRAMES, 1)
        ):
            torch.log(spectrum.mel(part_BTW), out=part_BTF)
    feature_lens_B = (lengths_B + 2 * half - stft.n_fft).div(
        hop, rounding_mode="trunc"
    ) + 1
    return zero_after_(features_BTF, feature_lens_B), feature_lens_B


class _Spectrum:
    """From frames of samples to filters, with what all frames share."""

    def __init__(self, frontend: DefaultFrontend):
        stft, mel_KF = frontend.stft, frontend.logmel.melmat
        window = torch.ones(stft.win_length)
        if stft.window is not None:
            window = getattr(torch, f"{stft.window}_window")(stft.win_length)
        before = (stft.n_fft - stft.win_length) // 2
        after = stft.n_fft - stft.win_length - before
        self.window_W = F.pad(window, (before, after))
        used = mel_KF.ne(0.0).any(1).nonzero().flatten().tolist() or [0]
        self.used = slice(used[0], used[-1] + 1)
        self.mel_FK = mel_KF[self.used].t().contiguous()

    def mel(self, frames_BTW: torch.Tensor) -> torch.Tensor:
        """Energy in each filter [B, T, F], at least FLOOR."""
        windowed_BTW = frames_BTW * self.window_W
        spectra = torch.fft.rfft(windowed_BTW.flatten(0, 1))
        squares = torch.view_as_real(spectra)[:, self.used].square()
        power = squares[..., 0] + squares[..., 1]
        energy = linear(power, self.mel_FK).clamp_(min=FLOOR)
        return energy.view(*frames_BTW.shape[:2], -1)


def _reflected(speech_BN: torch.Tensor, width: int) -> torch.Tensor:
    """``width`` samples on both sides mirrored at the first and the last one.

    Several times as fast as ``torch.nn.functional.pad`` does it.
    """
    count = speech_BN.size(1)
    padded_BN = speech_BN.new_empty(speech_BN.size(0), count + 2 * width)
    padded_BN[:, width : width + count] = speech_BN
    padded_BN[:, :width] = speech_BN[:, 1 : width + 1].flip(1)
    padded_BN[:, width + count :] = speech_BN[:, -width - 1 : -1].flip(1)
    return padded_BN
