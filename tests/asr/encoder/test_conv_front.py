"""Convolutions with pooling against torch's, one after the other."""

import pytest
import torch

from espnet_ext.asr.encoder import conv_front


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("activation", [None, "relu", "swish"])
def test_convolutions_in_blocks_are_those_of_torch(block, activation, monkeypatch):
    monkeypatch.setattr(conv_front, "BLOCK", block)
    torch.manual_seed(1)
    front = conv_front.ConvFront(6, [3, 4], [2, 2], [1, 3], activation)
    functions = {"relu": torch.relu, "swish": lambda x: x * x.sigmoid()}
    x = torch.randn(3, 9, 6)
    y = x.unsqueeze(1)
    for convolution, pool in zip(front.convolutions, [(1, 2), (3, 2)]):
        y = functions.get(activation, lambda x: x)(convolution(y))
        y = torch.nn.functional.pad(y, (0, y.size(3) % 2), value=-1e9)
        y = torch.nn.functional.max_pool2d(y, pool)
    expected = torch.stack([y[:, :, t].transpose(1, 2).flatten(1) for t in range(3)], 1)
    torch.testing.assert_close(front(x, torch.tensor([9, 8, 2]))[0], expected)
    with torch.no_grad():
        frames, lengths = front(x, torch.tensor([9, 8, 2]))
    torch.testing.assert_close(frames, expected)
    assert lengths.tolist() == [3, 3, 1]


def test_under_autocast_the_convolutions_stay_in_single_precision():
    """oneDNN's own layout is used there, too."""
    front, x = conv_front.ConvFront(6, [3], [2], [4]), torch.randn(3, 9, 6)
    lengths = torch.tensor([9, 8, 2])
    with torch.no_grad():
        expected, _ = front(x, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(front(x, lengths)[0], expected)


def test_what_is_no_number_stays_none():
    """A broken recording must not look like a good one; nor may it spoil others."""
    front, x = conv_front.ConvFront(6, [3], [2], [4]), torch.randn(3, 9, 6)
    x[1, 2, 3] = float("nan")
    with torch.no_grad():
        found, _ = front(x, torch.tensor([9, 8, 2]))
    assert found.isnan().any(2).any(1).tolist() == [False, True, False]
