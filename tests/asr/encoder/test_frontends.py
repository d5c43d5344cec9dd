"""Shapes, sizes and padding of the frontends."""

import pytest
import torch

from espnet_ext.asr.encoder.frontends import build_frontend

ALL = ["conv", "strided_conv", "swish_conv", "blstm", "conv_blstm"]


def build(options, size=40, hide=False):
    return build_frontend(size, options, 0.0, "shared", hide)


@pytest.mark.parametrize(
    "name, size, parameters",
    [
        ("conv", 448, 51_584),
        ("blstm", 1024, 8_560_640),
        ("conv_blstm", 1024, 9_717_088),
        ("strided_conv", 1280, 55_744),
    ],
)
def test_sizes_are_those_of_the_original(name, size, parameters):
    """reference/models.md (c)."""
    with torch.device("meta"):
        frontend = build({"type": name})
    assert frontend.output_size == size
    assert sum(p.numel() for p in frontend.parameters()) == parameters


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("frames", [1, 6, 7, 97])
def test_every_type_reduces_time_by_six(name, frames):
    options = {"type": name}
    if "blstm" in name:
        options["hidden_size"] = 3
    frontend = build(options, 10)
    y, lengths = frontend(torch.randn(2, frames, 10), torch.tensor([frames, 1]))
    assert y.shape == (2, -(-frames // 6), frontend.output_size)
    assert lengths.tolist() == [-(-frames // 6), 1]


@pytest.mark.parametrize("pooling, frames", [([6, 1], 9), ([3, 2], 9), ([1, 6], 9)])
def test_place_of_the_pooling_changes_the_output_but_not_its_length(pooling, frames):
    def output(time_pooling):
        torch.manual_seed(0)
        options = {"type": "blstm", "hidden_size": 3, "time_pooling": time_pooling}
        x = torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(1))
        return build(options, 4)(x, torch.tensor([50]))[0]

    y = output(pooling)
    assert y.size(1) == frames
    if pooling != [3, 2]:
        assert not torch.equal(y, output([3, 2]))


@pytest.mark.parametrize("name", ["conv", "strided_conv", "conv_blstm"])
def test_hidden_padding_makes_convolutions_blind_for_what_follows(name):
    options = {"type": name}
    if "blstm" in name:
        options["hidden_size"] = 3
    frontend = build(options, 8, hide=True)
    lengths = torch.tensor([48, 30])
    x = torch.randn(2, 48, 8)
    first, lens = frontend(x, lengths)
    changed = x.clone()
    changed[1, 30:] = 7.0
    second, _ = frontend(changed, lengths)
    n = int(lens[1])
    torch.testing.assert_close(first[1, :n], second[1, :n])
    visible = build(options, 8)
    different = [visible(v, lengths)[0][1, :n] for v in (x, changed)]
    assert not torch.allclose(*different)


def test_wrong_types_and_options_are_named():
    with pytest.raises(ValueError, match="frontend type 'vggg'"):
        build({"type": "vggg"})
    with pytest.raises(ValueError, match="no option 'hidden'"):
        build({"type": "blstm", "hidden": 3})
    with pytest.raises(ValueError, match="expected 3 numbers"):
        build({"type": "strided_conv", "conv_channels": [4, 4]})
