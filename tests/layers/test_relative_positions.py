"""Encodings of relative positions and their pairing."""

import math

import torch

from espnet_ext.layers.relative_positions import (
    clipped_offsets,
    pair_by_offset,
    short_table,
    sinusoid_table,
)


def test_first_half_is_sine_second_is_cosine_of_key_minus_query():
    table = sinusoid_table(4, 6)
    assert table.shape == (7, 6)
    for row, offset in enumerate(range(-3, 4)):
        for i in range(3):
            angle = offset * 10000 ** (-2 * i / 6)
            assert math.isclose(table[row, i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(table[row, 3 + i], math.cos(angle), abs_tol=1e-6)


def test_pairing_takes_the_score_of_the_offset_of_key_and_query():
    frames = 5
    scores = torch.randn(2, frames, 2 * frames - 1)
    paired = pair_by_offset(scores)
    for t in range(frames):
        for s in range(frames):
            expected = scores[:, t, s - t + frames - 1]
            assert torch.equal(paired[:, t, s], expected)


def test_one_frame_has_one_offset():
    assert pair_by_offset(torch.ones(3, 1, 1)).shape == (3, 1, 1)
    assert sinusoid_table(1, 4).shape == (1, 4)


def test_offsets_are_clipped_on_both_sides():
    assert clipped_offsets(4, 1).tolist() == [
        [1, 2, 2, 2],
        [0, 1, 2, 2],
        [0, 0, 1, 2],
        [0, 0, 0, 1],
    ]


def test_short_sequences_lose_rows_beyond_the_size_of_a_head():
    """As the original reads its table: parity/conf_relold_dh4_e15.npz."""
    table = torch.ones(33, 4)
    assert short_table(table, 17)[:, 0].tolist() == [1] * 4 + [0] * 29
    # three frames need the rows 14 .. 18, of which the first four are kept
    assert short_table(table, 3)[14:19, 0].tolist() == [1, 1, 1, 1, 0]
    assert short_table(table, 18) is table
    assert short_table(torch.ones(33, 64), 3).sum() == 33 * 64
