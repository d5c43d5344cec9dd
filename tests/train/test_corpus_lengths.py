"""Lengths out of shape files; samples become frames of 10 ms."""

import numpy
import pytest
import torch
from espnet2.asr.frontend.default import DefaultFrontend

from espnet_ext.asr.frontend.gammatone import GammatoneFrontend
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.train.corpus_lengths import FrameCounter, read_lengths

NO_FRONTEND = FrameCounter(None, 0)


def shape_files(folder, speech, text=None):
    files = [folder / "speech_shape"]
    files[0].write_text(speech)
    if text is not None:
        files.append(folder / "text_shape.word")
        files[1].write_text(text)
    return files


def test_lengths_are_in_the_order_of_the_speech_file(tmp_path):
    files = shape_files(tmp_path, "b 800\na 1600\n", "a 3,1032\nb 2,1032\n")
    lengths = read_lengths(files, NO_FRONTEND)
    assert lengths.ids == ("b", "a") and len(lengths) == 2
    assert lengths.duration.tolist() == [800, 1600]
    assert lengths.labels.tolist() == [2, 3]
    assert read_lengths(files[:1], NO_FRONTEND).labels is None


@pytest.mark.parametrize(
    "speech, text, message",
    [
        ("a\n", None, "speech_shape line 1"),
        ("a x\n", None, "found 'a x'"),
        ("", None, "no utterance"),
        ("a 1\nb 1\n", "a 1,3\n", "such as b"),
        ("a 1\n", "a 1,3\nb 1,3\n", "such as b"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, speech, text, message):
    with pytest.raises(FormatError, match=message):
        read_lengths(shape_files(tmp_path, speech, text), NO_FRONTEND)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="speech_shape"):
        read_lengths([tmp_path / "speech_shape"], NO_FRONTEND)


@pytest.mark.parametrize("samples", [519, 520, 599, 600, 601, 8000, 12345])
def test_gammatone_frames_are_those_the_frontend_makes(samples):
    frontend = GammatoneFrontend()
    features, made = frontend(torch.zeros(1, samples), torch.tensor([samples]))
    counted = FrameCounter(frontend, 8000)(numpy.array([samples]))
    assert counted.tolist() == made.tolist() == [features.size(1)]


@pytest.mark.parametrize("samples", [800, 1599, 1600, 20000])
def test_frames_of_another_shift_are_counted_in_10_ms(samples):
    """256 samples at 16 kHz are 16 ms."""
    frontend = DefaultFrontend(fs=16000, n_fft=512, hop_length=256)
    _, made = frontend(torch.randn(1, samples), torch.tensor([samples]))
    counted = FrameCounter(frontend, 16000)(numpy.array([samples]))
    assert counted.tolist() == [int(numpy.ceil(int(made[0]) * 1.6))]


def test_without_frontend_the_file_holds_frames():
    assert NO_FRONTEND(numpy.array([7])).tolist() == [7]
    assert NO_FRONTEND.samples_per_frame == 1


def test_a_frontend_of_unknown_shift_is_refused():
    with pytest.raises(OptionError, match="frontend Linear"):
        FrameCounter(torch.nn.Linear(1, 1), 16000)
