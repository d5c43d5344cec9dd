import pytest
import torch

from espnet_ext.layers.switchout import AlignmentSwitchOut


def disturbed(symbols, **options):
    module = AlignmentSwitchOut(5, **options)
    module.generator = torch.Generator().manual_seed(3)
    return module.train()(symbols)


def test_symbols_are_replaced_as_often_as_asked_by_blank_or_any_label():
    symbols = torch.full((2000, 50), 3)
    found = disturbed(symbols, replace=0.2, blank_share=0.5, frames_per_stretch=0)
    share = torch.bincount(found.flatten(), minlength=5) / found.numel()
    # one in ten becomes blank, one in forty each label, 3 again included
    expected = [0.1, 0.025, 0.025, 0.825, 0.025]
    for one, other in zip(share.tolist(), expected):
        assert one == pytest.approx(other, abs=0.003)


def test_stretches_of_blanks_are_as_many_and_as_long_as_asked():
    symbols = torch.full((20000, 24), 3)
    found = disturbed(symbols, replace=0.0, frames_per_stretch=8, stretch=1)
    count = (found == 0).sum(1)
    assert set(found.unique().tolist()) == {0, 3}
    # 24 // 8 = 3: none to three stretches of one frame, equally likely
    for number in range(4):
        assert (count == number).float().mean().item() == pytest.approx(0.25, abs=0.015)
    lengths = disturbed(symbols, replace=0.0, frames_per_stretch=24, stretch=3)
    blanks = (lengths == 0).sum(1)
    started = (lengths[:, 21:] != 0).all(1) & (blanks > 0)
    for length in (1, 2, 3):
        share = (blanks[started] == length).float().mean().item()
        assert share == pytest.approx(1 / 3, abs=0.03)


def test_a_short_sequence_has_at_most_one_stretch():
    found = disturbed(torch.full((500, 4), 2), replace=0.0, stretch=1)
    assert set((found == 0).sum(1).tolist()) == {0, 1}


def test_nothing_happens_in_evaluation_or_with_everything_off():
    symbols = torch.randint(0, 5, (3, 9))
    assert torch.equal(AlignmentSwitchOut(5).eval()(symbols), symbols)
    off = disturbed(symbols, replace=0.0, frames_per_stretch=0)
    assert torch.equal(off, symbols)


def test_the_stream_alone_decides_what_is_replaced():
    symbols = torch.randint(0, 5, (3, 40))
    one, other = disturbed(symbols, replace=0.5), disturbed(symbols, replace=0.5)
    assert torch.equal(one, other)


def test_with_blank_alone_everything_stays_blank():
    module = AlignmentSwitchOut(1, replace=1.0).train()
    assert (module(torch.zeros(2, 9, dtype=torch.long)) == 0).all()
