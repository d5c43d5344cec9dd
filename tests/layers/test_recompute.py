"""What is forgotten and computed again, and what that does to gradients: nothing."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from torch.multiprocessing.reductions import StorageWeakRef

from espnet_ext.layers.fast_products import FastProducts
from espnet_ext.layers.recompute import Recompute


def conformer(**options):
    torch.manual_seed(1)
    return ConformerEncoder(
        12,
        output_size=8,
        attention_heads=2,
        linear_units=16,
        num_blocks=2,
        dropout_rate=0.2,
        positional_dropout_rate=0.2,
        attention_dropout_rate=0.2,
        input_layer="linear",
        macaron_style=True,
        rel_pos_type="latest",
        cnn_module_kernel=3,
        **options,
    )


def gradients(encoder, context, dtype=torch.float32):
    """Gradients and buffers after one pass with dropout."""
    encoder = encoder.to(dtype).train()
    torch.manual_seed(2)
    x = torch.randn(2, 9, 12, dtype=dtype)
    with context:
        y, _, _ = encoder(x, torch.tensor([9, 6]))
    y.square().sum().backward()
    found = {name: p.grad for name, p in encoder.named_parameters()}
    return {**found, **{f"buffer {n}": b for n, b in encoder.named_buffers()}}


@pytest.mark.parametrize("activation", ["swish", "relu", "tanh"])
def test_gradients_and_statistics_with_dropout_are_the_same_bit_for_bit(activation):
    options = {"activation_type": activation}
    plain = gradients(conformer(**options), contextlib.nullcontext())
    again = gradients(conformer(**options), Recompute())
    assert all(torch.equal(plain[name], again[name]) for name in plain)


@pytest.mark.parametrize("input_layer", ["conv2d", "conv2d6"])
def test_a_frontend_of_convolutions_has_the_same_gradients(input_layer):
    def encoder():
        torch.manual_seed(1)
        return ConformerEncoder(
            12, 8, 2, 16, 1, input_layer=input_layer, cnn_module_kernel=3
        )

    def run(context):
        torch.manual_seed(2)
        trained, x = encoder().train(), torch.randn(2, 30, 12)
        with context:
            y, _, _ = trained(x, torch.tensor([30, 24]))
        y.square().sum().backward()
        return [p.grad for p in trained.parameters()]

    for plain, again in zip(run(contextlib.nullcontext()), run(Recompute())):
        assert torch.equal(plain, again)


def test_only_a_convolution_of_few_products_is_computed_again():
    def alive(channels):
        x = torch.randn(1, channels, 9, 9)
        weights = [torch.randn(4, c, 3, 3, requires_grad=True) for c in (channels, 4)]
        with Recompute():
            inner = torch.conv2d(x, weights[0])
            storage = StorageWeakRef(inner.untyped_storage())
            y = torch.conv2d(inner, weights[1])
        del inner
        assert y.requires_grad
        return not storage.expired()

    assert not alive(1) and alive(4)


def alive_until_backward(context):
    """Which intermediate results of a feed-forward module outlive its forward pass."""
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(6, 6)
    with context:
        steps = {"product": x @ weight}
        steps["sigmoid"] = torch.sigmoid(steps["product"])
        steps["swish"] = steps["product"] * steps["sigmoid"]
        steps["dropout"] = F.dropout(steps["swish"], 0.5)
        y = steps["dropout"] @ weight.clone().requires_grad_()
    storages = {n: StorageWeakRef(t.untyped_storage()) for n, t in steps.items()}
    steps.clear()
    assert y.requires_grad
    return {name for name, storage in storages.items() if not storage.expired()}


def test_only_the_result_of_the_product_outlives_the_forward_pass():
    everything = {"product", "sigmoid", "dropout"}  # torch: and the dropout's noise
    assert alive_until_backward(contextlib.nullcontext()) == everything
    assert alive_until_backward(Recompute()) == {"product"}


def test_a_tensor_changed_after_its_use_is_refused_as_torch_does():
    x = torch.ones(3, requires_grad=True)
    with Recompute():
        y = x * 2.0
        z = torch.sigmoid(y) * 3.0
    x.detach().add_(1.0)  # y is computed again from it
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_products_inside_it_are_those_of_torch_but_for_rounding():
    plain = gradients(conformer(), contextlib.nullcontext())
    context = contextlib.ExitStack()
    context.enter_context(Recompute())
    context.enter_context(FastProducts())
    again = gradients(conformer(), context)
    for name in plain:
        torch.testing.assert_close(again[name], plain[name], rtol=1e-3, atol=2e-5)


def test_gradients_of_gradients_are_refused():
    x = torch.randn(3, requires_grad=True)
    with Recompute():
        y = torch.sigmoid(x).sum()
    (grad,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(grad.sum(), x)
