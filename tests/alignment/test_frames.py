"""Frame shift and look-ahead, measured on encoders whose true values are known."""

import argparse

import pytest
import torch

from espnet_ext.alignment.frames import frame_shift, look_ahead
from espnet_ext.alignment.store import WHOLE_UTTERANCE
from espnet_ext.inference.latency import chunk_in_evaluation, rate_of
from tests.inference.models import saved_model

RATE = 8000


def windows(shift: int, ahead: int):
    """Frame t is the sum of samples [t shift, (t + 1) shift + ahead)."""

    def encode(speech, lengths):
        padded = torch.nn.functional.pad(speech, (0, ahead))
        frames = padded.unfold(1, shift + ahead, shift).sum(-1, keepdim=True)
        return frames, torch.div(lengths, shift, rounding_mode="floor")

    return encode


@pytest.mark.parametrize("shift", [80, 240, 481])
@pytest.mark.parametrize("ahead", [0, 1, 100, 2000, 8000])
def test_shift_is_exact_and_look_ahead_is_true_up_to_a_frame(shift, ahead):
    encode = windows(shift, ahead)
    assert frame_shift(encode, RATE) == pytest.approx(shift / RATE, abs=1e-12)
    found = look_ahead(encode, RATE, shift / RATE)
    assert ahead / RATE - 1e-9 <= found <= (ahead + shift) / RATE + 1e-9


def test_who_hears_the_end_everywhere_hears_the_whole_utterance():
    def normalised(speech, lengths):
        frames, lengths = windows(80, 0)(speech - speech.mean(), lengths)
        return frames, lengths

    assert look_ahead(normalised, RATE, 0.01) == WHOLE_UTTERANCE


def test_who_hears_nothing_looks_nowhere():
    def deaf(speech, lengths):
        return torch.ones(1, int(lengths) // 80, 1), lengths // 80

    assert look_ahead(deaf, RATE, 0.01) == 0.0


CHUNKS = {"chunk_size": 5}


def encode_of(model):
    return lambda speech, lengths: model.encode_frames(speech, lengths)[:2]


@pytest.mark.parametrize(
    "frontend, fs",
    [("gammatone", 8000), ("gammatone", None), ("default", 16000), ("default", "8k")],
)
def test_the_frame_shift_of_real_models_is_hop_times_reduction(tmp_path, frontend, fs):
    """Without ``fs`` a gammatone frontend works at 8 kHz, ESPnet's at 16 kHz."""
    conf = {"channels": 10} if frontend == "gammatone" else {"n_mels": 10}
    conf.update({"fs": fs} if fs else {})
    conf.update({"hop_length": 160} if frontend == "default" else {})
    saved = saved_model(tmp_path, frontend=frontend, frontend_conf=conf)
    rate = rate_of(saved.model, argparse.Namespace(frontend_conf=conf))
    assert rate == (16000 if fs == 16000 else 8000)
    hop = 160 if frontend == "default" else rate // 100
    features, lengths = torch.zeros(1, 720, 10), torch.tensor([720])
    reduction = 720 // int(saved.model.encoder(features, lengths)[1])
    expected = hop * reduction / rate
    assert frame_shift(encode_of(saved.model), rate) == pytest.approx(expected)


def test_attention_hears_the_whole_utterance_and_chunks_only_themselves(tmp_path):
    model = saved_model(tmp_path, CHUNKS).model
    shift_s = frame_shift(encode_of(model), RATE)
    assert look_ahead(encode_of(model), RATE, shift_s) == WHOLE_UTTERANCE
    chunk_in_evaluation(model.encoder)
    found = look_ahead(encode_of(model), RATE, shift_s)
    # its first frame hears to the end of a chunk, and what convolutions add to it
    assert 0 < found <= 2 * CHUNKS["chunk_size"] * shift_s + 0.05
    assert frame_shift(encode_of(model), RATE) == pytest.approx(shift_s)
