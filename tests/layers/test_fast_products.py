"""Linear layers and pointwise convolutions by the faster library."""

import pytest
import torch

from espnet_ext.layers.fast_products import FastProducts

MODULES = {
    "linear": (lambda: torch.nn.Linear(5, 7), (2, 3, 5)),
    "without bias": (lambda: torch.nn.Linear(5, 7, bias=False), (3, 5)),
    "pointwise": (lambda: torch.nn.Conv1d(5, 7, 1), (2, 5, 3)),
    "kernel of 3": (lambda: torch.nn.Conv1d(5, 7, 3), (2, 5, 4)),
    "grouped": (lambda: torch.nn.Conv1d(4, 8, 1, groups=2), (2, 4, 3)),
    "stride": (lambda: torch.nn.Conv1d(5, 7, 1, stride=2), (2, 5, 4)),
    "padding": (lambda: torch.nn.Conv1d(5, 7, 1, padding=1), (2, 5, 4)),
    "no batch": (lambda: torch.nn.Conv1d(5, 7, 1), (5, 4)),
}


def results(module, x, fast):
    """Output, and gradients of input and parameters."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    if fast:
        with FastProducts():
            y = module(x)
    else:
        y = module(x)
    y.sin().sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in module.parameters())]


@pytest.mark.parametrize("name", MODULES)
def test_values_and_gradients_are_those_of_float64(name):
    torch.manual_seed(1)
    make, shape = MODULES[name]
    module, x = make(), torch.randn(shape)
    fast = results(module, x, fast=True)
    exact = results(module.double(), x.double(), fast=False)
    for ours, theirs in zip(fast, exact):
        assert ours.dtype == torch.float32 and ours.stride() == theirs.stride()
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_float64_goes_the_usual_way_bit_for_bit(name):
    torch.manual_seed(1)
    make, shape = MODULES[name]
    module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    pairs = zip(results(module, x, fast=True), results(module, x, fast=False))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_autocast_goes_the_usual_way():
    module, x = torch.nn.Linear(5, 7), torch.randn(2, 5)
    with torch.autocast("cpu", torch.bfloat16), FastProducts():
        assert module(x).dtype == torch.bfloat16


def test_frozen_weights_get_no_gradient_and_the_input_does():
    module, x = torch.nn.Linear(5, 7).requires_grad_(False), torch.ones(2, 5)
    x.requires_grad_()
    with FastProducts():
        module(x).sum().backward()
    assert module.weight.grad is None
    torch.testing.assert_close(x.grad, module.weight.sum(0).expand(2, 5))
