"""Parts of layers in use while a network grows."""

import math

import pytest
import torch

from espnet_ext.layers.growing import (
    Axis,
    GrowingLayerNorm,
    GrowingLinear,
    fixed,
    initialise,
    set_sizes,
    used_entries,
)


def test_each_part_of_an_axis_has_its_leading_entries_in_use():
    axis = Axis("model", 12, 3)
    assert axis.index({"model": 2}).tolist() == [0, 1, 4, 5, 8, 9]
    assert axis.index({}).tolist() == list(range(12))
    assert fixed(3).index({"model": 1}).tolist() == [0, 1, 2]


def test_a_grown_layer_computes_with_the_copied_block_as_the_small_layer_did():
    large = GrowingLinear(Axis("model", 5), Axis("model", 10, 2))
    small = torch.nn.Linear(3, 6)
    with torch.no_grad():
        rows = Axis("model", 10, 2).index({"model": 3})
        large.weight[rows[:, None], torch.arange(3)] = small.weight
        large.bias[rows] = small.bias
    large.set_sizes({"model": 3})
    x = torch.randn(4, 3)
    torch.testing.assert_close(large(x), small(x))


def test_only_the_part_in_use_gets_a_gradient():
    layer = GrowingLinear(Axis("model", 5), Axis("model", 5))
    layer.set_sizes({"model": 2})
    layer(torch.ones(1, 2)).sum().backward()
    used = used_entries(layer, {"model": 2})
    assert (layer.weight.grad[~used["weight"]] == 0).all()
    assert (layer.weight.grad[used["weight"]] != 0).all()
    assert used["bias"].tolist() == [True, True, False, False, False]


def test_full_size_uses_the_parameter_itself():
    layer = GrowingLinear(Axis("model", 5), Axis("model", 5))
    layer.set_sizes({"model": 2})
    layer.set_sizes({})
    assert layer.used("weight") is layer.weight


def test_weights_have_the_limit_of_the_stage_that_first_uses_them():
    torch.manual_seed(0)
    layer = GrowingLinear(Axis("model", 200), Axis("model", 200))
    initialise(layer, [{"model": 50}, {}])
    old, new = math.sqrt(6 / 100), math.sqrt(6 / 400)
    block = layer.weight[:50, :50].abs()
    rest = layer.weight[50:].abs()
    # 2,500 and 30,000 uniform draws: the largest is close to the limit
    assert 0.98 * old < float(block.max()) <= old
    assert 0.98 * new < float(rest.max()) <= new
    assert (layer.bias == 0).all()


def test_init_scale_scales_the_variance():
    torch.manual_seed(0)
    layer = GrowingLinear(fixed(100), fixed(300), init_scale=0.5)
    limit = math.sqrt(3 / 400)
    assert 0.99 * limit < float(layer.weight.abs().max()) <= limit


def test_layer_norm_uses_the_features_in_use_and_eps_of_the_original():
    norm = GrowingLayerNorm(Axis("model", 6))
    set_sizes(norm, {"model": 4})
    x = torch.randn(3, 4) * 1e-3
    expected = (x - x.mean(1, keepdim=True)) / torch.sqrt(
        x.var(1, unbiased=False, keepdim=True) + 1e-6
    )
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("size", [1, 3])
def test_indexing_and_slicing_agree(size):
    layer = GrowingLinear(Axis("model", 8, 2), Axis("model", 12, 3))
    layer.set_sizes({"model": size})
    index = layer.used_index("weight", {"model": size})
    assert torch.equal(layer.used("weight"), layer.weight[index])
