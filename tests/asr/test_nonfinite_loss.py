"""What a sequence whose loss is not a number contributes: itself, or nothing."""

import pytest
import torch

from tests.asr.tiny import tiny_model


def batch():
    generator = torch.Generator().manual_seed(1)
    speech = torch.randn(2, 12, 8, generator=generator)
    text = torch.tensor([[1, 2], [3, -1]])
    return speech, torch.tensor([12, 12]), text, torch.tensor([2, 1])


def loss_of(model, spoil):
    """Loss of the batch; one sequence's is made not a number."""
    whole = model.transducer_nll

    def spoiled(*arguments):
        nll_B = whole(*arguments)
        return torch.cat([nll_B[:1], nll_B[1:] * float("nan")]) if spoil else nll_B

    model.transducer_nll = spoiled
    return model(*batch())[0]


def test_it_is_kept_by_default_so_that_the_trainer_notices():
    assert loss_of(tiny_model().eval(), spoil=True).isnan()


def test_zero_leaves_it_out_and_keeps_the_others():
    model = tiny_model(nonfinite_loss="zero", loss_reduction="sum").eval()
    expected = loss_of(tiny_model(loss_reduction="sum").eval(), spoil=False)
    lost = loss_of(model, spoil=True)
    assert lost.isfinite() and 0.0 < lost < expected


def test_both_are_the_same_where_all_is_finite():
    values = [
        loss_of(tiny_model(nonfinite_loss=kind).eval(), spoil=False)
        for kind in ("keep", "zero")
    ]
    assert torch.equal(*values)


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'keep', 'zero'"):
        tiny_model(nonfinite_loss="drop")
