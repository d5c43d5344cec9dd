"""``recompute`` and ``fast_products`` in all model classes: leaner, equal numbers."""

import pytest
import torch

from espnet_ext.layers import fast_products, recompute
from tests.asr.option_lists import BASES, MODEL
from tests.asr.test_every_option import batch_of, configured, outcome, same

every_base = pytest.mark.parametrize("base", BASES)


def counted(module, name, monkeypatch):
    """Calls of a function of a module, which does what it did."""
    calls, function = [], getattr(module, name)

    def counting(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counting)
    return calls


@every_base
def test_recomputed_gradients_are_the_same_bit_for_bit(base, monkeypatch):
    plain = outcome(configured(base, {f"{MODEL}.recompute": False}))
    calls = counted(recompute, "_remember", monkeypatch)
    assert same(plain, outcome(configured(base, {f"{MODEL}.recompute": True})))
    assert calls


@every_base
def test_fast_products_are_those_of_torch_but_for_rounding(base, monkeypatch):
    plain = outcome(configured(base, {f"{MODEL}.fast_products": False}))
    calls = counted(fast_products, "linear", monkeypatch)
    fast = outcome(configured(base, {f"{MODEL}.fast_products": True}))
    assert calls and plain.keys() == fast.keys()
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("base", ["transducer", "ctc"])
def test_both_get_along_with_a_compiled_encoder(base):
    options = {f"{MODEL}.recompute": True, f"{MODEL}.fast_products": True}
    model = configured(base, options).train()
    batch = batch_of(model)
    expected = model(**batch)[0]
    compiled = torch.compile(model.encoder.forward, backend="eager")
    model.encoder.forward = compiled
    torch.testing.assert_close(model(**batch)[0], expected, rtol=1e-5, atol=1e-5)
