"""Cuts: the stretches of a file that make an utterance, joined without a gap."""

import numpy as np
import pytest

from espnet_ext.corpus.audio import read_segment
from espnet_ext.corpus.cuts import (
    Cut,
    cut_from_line,
    cuts_of,
    from_pcm,
    number_of_samples,
    pcm_samples,
    to_pcm,
)
from espnet_ext.errors import AudioError, FormatError
from tests.corpus.trees import RATE, write_call


@pytest.fixture
def call(tmp_path):
    return str(write_call(tmp_path / "sw 02001.sph", 4.0))


def test_parts_are_joined_without_a_gap(call):
    cut = Cut(call, 1, ((1.0, 1.25), (3.0, 3.5)), 1.0, RATE)
    whole, _ = read_segment(call, 1)
    expected = np.concatenate([whole[8000:10000], whole[24000:28000]])
    np.testing.assert_array_equal(from_pcm(pcm_samples(cut)), expected)


@pytest.mark.parametrize("rate", [8000, 16000, 11025])
@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
def test_the_number_of_samples_is_known_from_the_header(call, rate, speed):
    for parts in (((0.5, 2.0),), ((0.5, 1.0), (1.5, 3.0)), ((1.0, None),)):
        cut = Cut(call, 0, parts, speed, rate)
        assert abs(number_of_samples(cut) - len(pcm_samples(cut))) <= 1
        if rate == RATE and speed == 1.0:
            assert number_of_samples(cut) == len(pcm_samples(cut))


@pytest.mark.parametrize(
    "parts", [((5.0, 6.0),), ((1.0, 1.00001),), ((1.0, 2.0), (-0.5, 1.0))]
)
def test_a_cut_outside_its_file_is_an_error(call, parts):
    cut = Cut(call, 0, parts, 1.0, RATE)
    for function in (number_of_samples, pcm_samples):
        with pytest.raises(AudioError, match="sw 02001.sph"):
            function(cut)


def test_a_line_is_read_as_it_was_written(call):
    for cut in (
        Cut(call, 0, ((0.0, None),), 0.9, 16000),
        Cut(call, 1, ((0.977625, 11.561375), (12.0, 13.5)), 1.0, RATE),
    ):
        assert cut_from_line(cut.to_line(), "x") == cut
    assert cuts_of([f"a {cut.to_line()}"], "x") == {"a": cut}


@pytest.mark.parametrize(
    "line", ["", "0 8000 1.0 0:1", "0 8000 1.0 0-1 x.sph", "A 8000 1.0 0:1 x.sph"]
)
def test_a_wrong_line_is_named(line):
    with pytest.raises(FormatError, match="x.scp line 1"):
        cuts_of([f"utterance {line}"], "x.scp")


def test_what_is_louder_than_pcm_is_clipped():
    samples = np.array([-1.2, -1.0, 0.0, 0.5, 1.0], np.float32)
    assert to_pcm(samples).tolist() == [-32768, -32768, 0, 16384, 32767]
