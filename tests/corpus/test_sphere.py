"""SPHERE headers: both styles of Switchboard-1, and every way they can be wrong."""

import numpy as np
import pytest

from espnet_ext.corpus.sphere import read_header
from espnet_ext.errors import AudioError, MissingInputError
from tests.corpus.trees import noise, sphere_bytes
from tests.shared import shared_file


def header_of(tmp_path, content):
    path = tmp_path / "x.sph"
    path.write_bytes(content)
    return read_header(path)


def test_release_2_counts_one_channel(tmp_path):
    header = header_of(tmp_path, sphere_bytes(noise(1.0)))
    assert (header.samples, header.channels, header.rate) == (8000, 2, 8000)
    assert (header.coding, header.compression) == ("ULAW", None)


def test_release_1_counts_both_channels_and_says_mu_law(tmp_path):
    content = sphere_bytes(noise(1.0), coding="mu-law", declared=16000)
    header = header_of(tmp_path, content)
    assert (header.samples, header.coding) == (8000, "ULAW")


def test_a_release_2_file_cut_in_half_is_not_taken_for_release_1(tmp_path):
    with pytest.raises(AudioError, match="truncated: 4000"):
        header_of(tmp_path, sphere_bytes(noise(1.0))[: 1024 + 8000])


def test_more_samples_than_declared_are_taken_from_the_file_size(tmp_path):
    assert header_of(tmp_path, sphere_bytes(noise(1.0), declared=7000)).samples == 8000


def test_a_file_with_a_cut_off_tail_is_named_truncated(tmp_path):
    with pytest.raises(AudioError, match="x.sph: truncated: 7500 .*(\n.*)*8000"):
        header_of(tmp_path, sphere_bytes(noise(1.0))[:-1000])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"RIFF1234WAVEfmt " * 80, "is not a SPHERE file"),
        (b"NIST_1A\n   1024\nchannel_count -i 2\n", "has no end"),
        (b"NIST_1A\n   lots\n", "is not a SPHERE file"),
        (sphere_bytes(noise(0.0)), "holds no samples"),
        (sphere_bytes(noise(0.1), coding="celp"), "unknown sample_coding 'celp'"),
        (sphere_bytes(noise(0.1), coding="pcm,embedded-wavpack"), "embedded-wavpack"),
        (sphere_bytes(noise(0.1)).replace(b"-i 8000", b"-i soon"), "sample_rate"),
        (sphere_bytes(noise(0.1)).replace(b"_count -i 2", b"_count -i 0"), "channel"),
    ],
)
def test_each_wrong_header_says_what_is_wrong(tmp_path, content, message):
    with pytest.raises(AudioError, match=message) as caught:
        header_of(tmp_path, content)
    assert "x.sph" in str(caught.value) and caught.value.next_step


def test_an_absent_file_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere.sph"):
        read_header(tmp_path / "nowhere.sph")


def test_header_of_a_big_endian_shorten_file():
    header = read_header(shared_file("data/sphere/123_2pcbe_shn.sph"))
    assert header.compression == "shorten" and header.big_endian
    assert (header.rate, header.channels, header.samples) == (20000, 2, 37120)


def test_fields_may_stand_in_any_order_and_hold_blanks(tmp_path):
    extra = "recording_date -s11  9-SEP-1982\nspeaker_id -s7 a b c d\n"
    header = header_of(tmp_path, sphere_bytes(noise(0.5), extra=extra))
    assert header.fields["speaker_id"] == "a b c d"
    assert np.isclose(header.samples, 4000)
