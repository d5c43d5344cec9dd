"""Rearrangement of original parameters."""

import numpy as np
import pytest
import torch

from espnet_ext.errors import FormatError
from espnet_ext.interop.returnn import (
    apply_rules,
    convolution,
    gates,
    label_ids,
    linear_rules,
    load_parameters,
    parameters_of,
)


def test_bos_becomes_the_last_token_and_the_others_keep_their_order():
    assert label_ids(4).tolist() == [1, 2, 3, 4]
    assert label_ids(4, bos=0).tolist() == [4, 1, 2, 3]
    assert label_ids(4, bos=2).tolist() == [1, 2, 4, 3]


def test_gates_are_reordered_from_cell_first_to_cell_third():
    original = np.array([[10, 20, 30, 40]])  # cell-in, input, forget, output
    assert gates(original).flatten().tolist() == [20, 30, 10, 40]


def test_a_convolution_gives_the_same_result_in_both_layouts():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    image = rng.normal(size=(5, 6, 2)).astype(np.float32)
    x = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
    y = torch.nn.functional.conv2d(x, torch.from_numpy(convolution(kernel).copy()))
    expected = np.einsum("hwi,hwio->o", image[1:4, 2:5], kernel)
    np.testing.assert_allclose(y[0, :, 1, 2].numpy(), expected, rtol=1e-5)


def test_names_with_and_without_prefix_are_understood():
    assert list(parameters_of({"param:a/b/param": np.zeros(1)})) == ["a/b"]
    assert list(parameters_of({"a/b": np.zeros(1)})) == ["a/b"]
    both = {"param:a/param": np.zeros(1), "grad:a/param": np.ones(1)}
    assert parameters_of(both, "grad:")["a"] == 1


def test_a_wrong_shape_and_an_unset_parameter_are_both_named():
    model = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 3), "b": torch.nn.Linear(1, 1)}
    )
    arrays = {"x/weight": np.zeros((5, 3)), "x/bias": np.zeros(3)}
    with pytest.raises(FormatError) as error:
        load_parameters(model, arrays, linear_rules("x", "a"))
    assert "a.weight: file (3, 5), model (3, 2)" in str(error.value)
    assert "b.weight is not set" in str(error.value)


def test_gradients_may_be_fewer_than_parameters():
    rules = linear_rules("x", "a")
    assert list(apply_rules({"x/bias": np.zeros(3)}, rules, partial=True)) == ["a.bias"]
    with pytest.raises(FormatError, match="missing"):
        apply_rules({"x/bias": np.zeros(3)}, rules)
