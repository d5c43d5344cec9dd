"""Log-mel features in groups against ESPnet's frontend."""

import pytest
import torch
from espnet2.asr.frontend.default import DefaultFrontend

from espnet_ext.asr.frontend import log_mel

DEMO = dict(fs=8000, n_fft=256, win_length=200, hop_length=80, n_mels=40)
OPTIONS = [
    DEMO,
    dict(DEMO, window="hamming", fmin=300, fmax=3400, htk=True),
    dict(DEMO, window=None, win_length=None, frontend_conf=None),
    dict(fs=16000, n_fft=511, win_length=400, hop_length=160, n_mels=80),
]


def waveforms(count=3, samples=4000, seed=0):
    """Of lengths that fall, with noise where the shorter ones are padded."""
    generator = torch.Generator().manual_seed(seed)
    speech = torch.randn(count, samples, generator=generator) * 0.1
    return speech, samples - 700 * torch.arange(count)


@pytest.mark.parametrize("frames", [7, 60, 1000])
@pytest.mark.parametrize("options", OPTIONS)
def test_features_are_those_of_espnet(options, frames, monkeypatch):
    """The worst of all features differs by a rounding error: 2^-20 of the largest."""
    monkeypatch.setattr(log_mel, "FRAMES", frames)
    frontend = DefaultFrontend(**options).eval()
    speech, lengths = waveforms()
    with torch.no_grad():
        assert log_mel.is_covered(frontend, speech)
        expected, expected_lengths = frontend(speech, lengths)
        found, found_lengths = log_mel.log_mel(frontend, speech, lengths)
    assert torch.equal(found_lengths, expected_lengths)
    assert found.shape == expected.shape
    bound = expected.abs().max().item() * 2**-20
    torch.testing.assert_close(found, expected, atol=bound, rtol=0)
    assert (found[2, found_lengths[2] :] == 0).all()


def test_silence_and_an_utterance_shorter_than_a_window_are_those_of_espnet():
    frontend = DefaultFrontend(**DEMO).eval()
    speech, lengths = torch.zeros(2, 129), torch.tensor([129, 40])
    with torch.no_grad():
        expected, _ = frontend(speech, lengths)
        assert torch.equal(log_mel.log_mel(frontend, speech, lengths)[0], expected)


def test_autocast_does_not_touch_the_features():
    frontend = DefaultFrontend(**DEMO).eval()
    speech, lengths = waveforms()
    with torch.no_grad():
        expected, _ = log_mel.log_mel(frontend, speech, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            found, _ = log_mel.log_mel(frontend, speech, lengths)
    assert torch.equal(found, expected)


class Other(DefaultFrontend):
    """What a user may have derived."""


@pytest.mark.parametrize(
    "frontend, speech",
    [
        (DefaultFrontend(**DEMO, center=False).eval(), torch.zeros(2, 400)),
        (DefaultFrontend(**DEMO, normalized=True).eval(), torch.zeros(2, 400)),
        (DefaultFrontend(**DEMO, apply_stft=False).eval(), torch.zeros(2, 400)),
        (DefaultFrontend(**DEMO), torch.zeros(2, 400)),
        (DefaultFrontend(**DEMO).eval(), torch.zeros(2, 400, 4)),
        (DefaultFrontend(**DEMO).eval(), torch.zeros(2, 400).double()),
        (DefaultFrontend(**DEMO).eval(), torch.zeros(2, 128)),
        (Other(**DEMO).eval(), torch.zeros(2, 400)),
        (None, torch.zeros(2, 400)),
    ],
)
def test_what_it_does_not_know_is_left_to_the_frontend(frontend, speech):
    with torch.no_grad():
        assert not log_mel.is_covered(frontend, speech)


def test_with_a_gradient_it_is_left_to_the_frontend():
    speech, _ = waveforms()
    assert not log_mel.is_covered(DefaultFrontend(**DEMO).eval(), speech)
