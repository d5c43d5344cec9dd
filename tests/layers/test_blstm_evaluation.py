"""Both directions without a gradient against torch.nn.LSTM on packed sequences."""

import pytest
import torch

from espnet_ext.layers.lstm import Blstm
from tests.layers.test_lstm import torch_twin

LENGTHS = [[9, 9, 9, 9], [9, 7, 7, 3], [9, 1, 4, 2]]


def layer(bias=3.0):
    """With biases that would move the state away from zero on padded frames."""
    torch.manual_seed(0)
    blstm = Blstm(5, 6).eval()
    with torch.no_grad():
        for lstm in (blstm.forward_lstm, blstm.backward_lstm):
            lstm.bias.normal_().mul_(bias)
    return blstm


def packed(blstm, x, lengths):
    """In double precision."""
    twin = torch_twin(blstm).double()
    sequences = torch.nn.utils.rnn.pack_padded_sequence(
        x.double(), lengths, batch_first=True, enforce_sorted=False
    )
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(twin(sequences)[0], batch_first=True)
    return y.float()


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("frames_outside", [True, False])
def test_it_equals_torch_on_packed_sequences(lengths, frames_outside):
    blstm, lengths = layer(), torch.tensor(lengths)
    x = torch.randn(4, 9, 5)
    if frames_outside:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    with torch.no_grad():
        found = blstm(x, lengths)
        torch.testing.assert_close(found, packed(blstm, x, lengths), atol=1e-6, rtol=0)


@pytest.mark.parametrize("filler", [1e30, float("inf"), float("nan")])
def test_padded_frames_are_zero_and_do_not_matter(filler):
    blstm, lengths = layer(), torch.tensor([9, 7, 7, 3])
    x = torch.randn(4, 9, 5)
    with torch.no_grad():
        expected = blstm(x, lengths)
        x[1, 7:], x[3, 3:] = filler, filler
        found = blstm(x, lengths)
    assert torch.equal(found, expected)
    assert (found[3, 3:] == 0).all() and (found[1, 7:] == 0).all()


def test_sequences_without_frames_are_zero():
    blstm, x = layer(), torch.randn(2, 4, 5)
    with torch.no_grad():
        y = blstm(x, torch.tensor([4, 0]))
        alone = blstm(x[:1], torch.tensor([4]))
    torch.testing.assert_close(y[:1], alone, atol=1e-6, rtol=0)
    assert (y[1] == 0).all()


def test_with_a_gradient_the_numbers_are_the_same():
    blstm, lengths = layer(), torch.tensor([9, 7, 7, 3])
    x = torch.randn(4, 9, 5)
    trained = blstm(x, lengths)
    assert trained.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(blstm(x, lengths), trained, atol=1e-6, rtol=0)


def test_under_autocast_it_is_as_exact_as_its_type():
    """2^-8 is a rounding step of bfloat16 below 1; a few add up over the frames."""
    blstm, lengths = layer(bias=1.0), torch.tensor([9, 7, 7, 3])
    x = torch.randn(4, 9, 5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = blstm(x, lengths)
    assert found.dtype == torch.bfloat16
    expected = packed(blstm, x, lengths)
    torch.testing.assert_close(found.float(), expected, atol=2**-5, rtol=0)
    assert (found[3, 3:] == 0).all()


def test_double_precision_keeps_its_precision():
    blstm, lengths = layer(), torch.tensor([9, 7, 7, 3])
    x = torch.randn(4, 9, 5)
    expected = packed(blstm, x, lengths)
    with torch.no_grad():
        found = blstm.double()(x.double(), lengths)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, atol=1e-7, rtol=0)
