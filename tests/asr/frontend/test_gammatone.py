"""Gammatone features against the original, their framing, and their gradient."""

import librosa
import numpy as np
import pytest
import torch
from espnet2.asr.frontend.default import DefaultFrontend

from espnet_ext.asr.frontend.gammatone import GammatoneFrontend, center_frequencies
from tests.shared import shared_file


@pytest.fixture(scope="module")
def original():
    return np.load(shared_file("reference/parity/gammatone.npz"))


@pytest.mark.parametrize("channels", [40, 50])
def test_filters_and_features_equal_those_of_the_original(original, channels):
    frontend = GammatoneFrontend(8000, channels)
    np.testing.assert_allclose(
        frontend.filters[:, 0].T.numpy(), original[f"filterbank_c{channels}"], atol=1e-7
    )
    without = GammatoneFrontend(8000, channels, dct=False)
    for name in ("1s", "0s37"):
        wave = torch.from_numpy(original[f"wave_{name}"]).unsqueeze(0)
        lengths = torch.tensor([wave.size(1)])
        features, frames = frontend(wave, lengths)
        expected = original[f"feat_v1_c{channels}_{name}"]
        assert frames.tolist() == [len(expected)]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(features[0].numpy(), expected, atol=1e-5 * scale)
        compressed, _ = without(wave, lengths)
        np.testing.assert_allclose(
            compressed[0].numpy(), original[f"predct_c{channels}_{name}"], atol=2e-5
        )


def test_frame_counts_in_a_padded_batch_are_those_of_the_original(original):
    frontend = GammatoneFrontend()
    waves = torch.zeros(2, 8000)
    lengths = torch.tensor([8000, 2960])
    _, frames = frontend(waves, lengths)
    assert frames.tolist() == original["batch_len_c40"].tolist()


def test_a_later_piece_of_a_stream_gives_the_same_frames():
    frontend = GammatoneFrontend(channels=5)
    wave = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    whole, _ = frontend(wave, torch.tensor([2000]))
    piece, frames = frontend(wave[:, 3 * 80 : 1500], torch.tensor([1500 - 3 * 80]))
    torch.testing.assert_close(piece, whole[:, 3 : 3 + int(frames)])


@pytest.mark.parametrize("block", [37, 80, 200, 1999])
def test_features_of_a_stream_block_by_block_are_those_of_the_whole(block):
    """Kept is what later frames still need: at most ``span`` - 1 samples."""
    frontend = GammatoneFrontend(channels=5)
    wave = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    whole, _ = frontend(wave, torch.tensor([2000]))
    kept, pieces = wave[:, :0], []
    for first in range(0, 2000, block):
        kept = torch.cat([kept, wave[:, first : first + block]], dim=1)
        features, frames = frontend(kept, torch.tensor([kept.size(1)]))
        pieces.append(features)
        kept = kept[:, int(frames) * frontend.shift :]
        assert kept.size(1) < frontend.span
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_log_mel_features_at_8_khz_are_those_of_librosa():
    """ESPnet's frontend, which models may have instead of gammatone features."""
    rate_hz, n_fft, hop, mels = 8000, 256, 80, 40
    wave = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    frontend = DefaultFrontend(fs=rate_hz, n_fft=n_fft, hop_length=hop, n_mels=mels)
    features, frames = frontend(torch.from_numpy(wave)[None], torch.tensor([4000]))
    power = np.abs(librosa.stft(wave, n_fft=n_fft, hop_length=hop, pad_mode="reflect"))
    mel = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=mels, htk=False)
    expected = np.log(np.maximum(mel @ power**2, 1e-10)).T
    assert frames.tolist() == [len(expected)]  # 10 ms apart
    np.testing.assert_allclose(features[0].numpy(), expected, atol=2e-3)


def test_frames_do_not_depend_on_what_comes_after_their_samples():
    frontend = GammatoneFrontend(channels=5)
    wave = torch.randn(1, 1200, generator=torch.Generator().manual_seed(0))
    changed = wave.clone()
    changed[:, 2 * 80 + frontend.span :] += 1.0
    a, b = (frontend(w, torch.tensor([1200]))[0] for w in (wave, changed))
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert not torch.allclose(a[:, 3], b[:, 3])


def test_too_little_audio_gives_no_frame():
    frontend = GammatoneFrontend(channels=5)
    features, frames = frontend(torch.zeros(2, 519), torch.tensor([519, 0]))
    assert features.shape == (2, 0, 5) and frames.tolist() == [0, 0]
    features, frames = frontend(torch.zeros(1, 520), torch.tensor([520]))
    assert features.shape == (1, 1, 5) and frames.tolist() == [1]


def test_features_are_differentiable():
    frontend = GammatoneFrontend(channels=3).double()
    wave = torch.randn(1, 540, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([540])
    assert torch.autograd.gradcheck(
        lambda w: frontend(w, lengths)[0], wave, fast_mode=True
    )


def test_centres_begin_and_end_at_the_given_frequencies_and_spread_upwards():
    centres = center_frequencies(40, 100.0, 3800.0)
    np.testing.assert_allclose(centres[[0, -1]], [100.0, 3800.0])
    assert (np.diff(centres, n=2) > 0).all()


def test_sample_rate_may_be_written_as_in_espnet_and_impossible_bands_are_named():
    assert GammatoneFrontend("8k").span == GammatoneFrontend(8000).span == 520
    with pytest.raises(ValueError, match="freq_max 5000"):
        GammatoneFrontend(8000, freq_max=5000)
