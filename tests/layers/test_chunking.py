"""Windows over sequences, and what is put back."""

import numpy as np
import pytest
import torch

from espnet_ext.layers.chunking import Chunking


def frames(*lengths):
    x = torch.arange(1, max(lengths) + 1).float().view(1, -1, 1)
    return x.repeat(len(lengths), 1, 1), torch.tensor(lengths)


@pytest.mark.parametrize("length", [1, 25, 26, 49, 50, 51, 76, 77, 100, 167])
def test_frames_in_no_window_are_zero_as_in_the_original(length):
    """parts.md 5: frame t is lost if (t + 24) // 50 >= ceil(length / 50)."""
    x, lengths = frames(length)
    chunking = Chunking(50, 50)
    joined = chunking.join(chunking.cut(x), length, lengths)[0, :, 0].numpy()
    t = np.arange(length)
    lost = (t + 24) // 50 >= -(-length // 50)
    np.testing.assert_array_equal(joined, np.where(lost, 0, t + 1))


def test_first_window_begins_with_zeros():
    x, _ = frames(120)
    chunks = Chunking(50, 50).cut(x)
    assert chunks.shape == (1, 3, 50, 1)
    assert (chunks[0, 0, :24] == 0).all() and chunks[0, 0, 24] == 1
    assert chunks[0, 1, 0] == 27


def test_only_windows_of_the_own_length_are_put_back():
    x, lengths = frames(190, 70)
    chunking = Chunking(50, 50)
    joined = chunking.join(chunking.cut(x), 190, lengths)[1, :, 0]
    # two windows cover frames up to 2 * 50 - 25 = 75, padding included
    assert (joined[:76] == torch.arange(1.0, 77.0)).all() and (joined[76:] == 0).all()


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("length", [1, 4, 5, 9, 13])
def test_covered_tail_returns_every_frame_whatever_the_stride(stride, length):
    x, lengths = frames(length)
    chunking = Chunking(4, stride, "covered")
    joined = chunking.join(chunking.cut(x), length, lengths)
    torch.testing.assert_close(joined, x)


def test_overlapping_windows_are_averaged():
    x, lengths = frames(6)
    chunking = Chunking(4, 2)
    chunks = chunking.cut(x)
    marked = torch.zeros_like(chunks)
    marked[:, 1] = 1.0  # covers frames 1 .. 4, half of them shared with a neighbour
    joined = chunking.join(marked, 6, lengths)[0, :, 0].tolist()
    assert joined == [0.0, 0.5, 0.5, 0.5, 0.5, 0.0]
