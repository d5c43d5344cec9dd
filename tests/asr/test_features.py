"""Features of a model, with and without a gradient."""

import torch
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.layers.utterance_mvn import UtteranceMVN

from espnet_ext.asr import features
from tests.asr.frontend.test_log_mel import DEMO, waveforms
from tests.asr.tiny import tiny_batch, tiny_model


def test_a_model_in_evaluation_has_the_features_of_espnet(monkeypatch):
    """Frontend and normalisation, with and without a gradient, are the same."""
    model = tiny_model().eval()
    model.frontend = DefaultFrontend(**DEMO).eval()
    model.normalize = UtteranceMVN(norm_vars=True)
    speech, lengths = waveforms()
    expected, _ = model.features(speech, lengths)
    calls, used = [], features.log_mel

    def counted(*args):
        calls.append(args)
        return used(*args)

    monkeypatch.setattr(features, "log_mel", counted)
    with torch.no_grad():
        found, found_lengths = model.features(speech, lengths)
    assert len(calls) == 1 and found_lengths.tolist() == [51, 42, 33]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_features_that_the_caller_gave_are_not_written_over():
    """More than ESPnet's module does itself: it subtracts the mean in place."""
    model, batch = tiny_model().eval(), tiny_batch()
    model.normalize = UtteranceMVN(norm_vars=True)
    speech, lengths = batch["speech"], batch["speech_lengths"]
    with torch.no_grad():
        expected, _ = model.normalize(speech.clone(), lengths)
        found, _ = model.features(speech, lengths)
    assert torch.equal(found, expected)
    assert found.data_ptr() != speech.data_ptr()


def test_features_are_never_rounded_unless_the_option_of_espnet_says_so():
    """In mixed precision too, with a gradient and without one."""
    model = tiny_model().eval()
    model.frontend = DefaultFrontend(**DEMO).eval()
    speech, lengths = waveforms()
    expected, _ = model.features(speech, lengths)
    for gradient in (True, False):
        with torch.set_grad_enabled(gradient), torch.autocast("cpu", torch.bfloat16):
            found, _ = model.features(speech, lengths)
            assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    model.autocast_frontend = True
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = model.features(speech, lengths)
    assert float((rounded - expected).abs().max()) > 1e-3
