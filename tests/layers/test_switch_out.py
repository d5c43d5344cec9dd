"""Perturbed alignments: rates, spans, what is never touched."""

import torch

from espnet_ext.layers.switch_out import SwitchOut

V = 5


def many(switch, frames=16, rows=4000, length=None):
    torch.manual_seed(0)
    alignment = torch.full((rows, frames), 3)
    lengths = torch.full((rows,), frames if length is None else length)
    return switch(alignment, lengths, V)


def test_single_frames_are_replaced_at_the_rate_by_blank_or_any_label():
    symbols = many(SwitchOut(rate=0.2, blank=0.5, frames_per_span=0))
    shares = torch.bincount(symbols.flatten(), minlength=V) / symbols.numel()
    expected = torch.full((V,), 0.2 * 0.5 / 4)
    expected[0], expected[3] = 0.1, 0.8 + 0.2 * 0.5 / 4
    torch.testing.assert_close(shares, expected, atol=0.005, rtol=0.0)


def test_spans_of_one_to_three_blanks_in_any_number_up_to_an_eighth():
    blanks = many(SwitchOut(rate=0.0, frames_per_span=8)) == 0
    none = (~blanks).all(1).float().mean()  # 0, 1 or 2 starts, equally likely
    torch.testing.assert_close(none, torch.tensor(1 / 3), atol=0.03, rtol=0.0)
    assert 3 < int(blanks.sum(1).max()) <= 6
    short = many(SwitchOut(rate=0.0, frames_per_span=8), frames=4) == 0
    torch.testing.assert_close(
        (~short).all(1).float().mean(), torch.tensor(0.5), atol=0.03, rtol=0.0
    )
    lengths = {int(row.sum()) for row in short}
    assert lengths == {0, 1, 2, 3}


def test_padding_is_never_touched_and_neutral_equals_absent():
    symbols = many(SwitchOut(rate=0.9), length=5)
    assert bool((symbols[:, 5:] == 3).all()) and bool((symbols[:, :5] != 3).any())
    assert bool((many(SwitchOut(rate=0.0, frames_per_span=0)) == 3).all())
