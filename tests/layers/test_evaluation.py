"""What evaluation on CPUs shares, against torch's own functions."""

import pytest
import torch

from espnet_ext.layers.evaluation import is_evaluated_on_cpu, product, zero_after_


def test_it_is_evaluation_only_without_gradient_and_outside_of_a_trace():
    x, seen = torch.zeros(2), []
    assert not is_evaluated_on_cpu(x)
    with torch.inference_mode():
        assert is_evaluated_on_cpu(x)
    with torch.no_grad():
        assert is_evaluated_on_cpu(x)
        assert not is_evaluated_on_cpu(torch.zeros(2, device="meta"))

        def traced(y):
            seen.append(is_evaluated_on_cpu(y))
            return y + 1

        torch.jit.trace(traced, x, check_trace=False)
    assert seen == [False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_product_is_a_linear_layer_for_tensors_of_any_layout(dtype):
    x, weight = torch.randn(3, 4, 5, dtype=dtype), torch.randn(6, 5, dtype=dtype)
    for view in (x, x.transpose(0, 1), x[..., :3]):
        part = weight[:, : view.size(-1)]
        expected = torch.nn.functional.linear(view.double(), part.double())
        found = product(view, part)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_product_under_autocast_multiplies_in_bfloat16_and_gives_float32():
    x, weight = torch.randn(3, 4, 5), torch.randn(6, 5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = product(x, weight)
    expected = torch.nn.functional.linear(x.bfloat16(), weight.bfloat16())
    torch.testing.assert_close(found, expected.float(), atol=0, rtol=2**-7)


@pytest.mark.parametrize("lengths", [[4, 2, 0], [4, 4, 4], [1, 3, 9]])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_frames_after_the_ends_are_zero_and_the_others_untouched(shape, lengths):
    x = torch.randn(shape)
    expected = x.clone()
    for row, length in zip(expected, lengths):
        row[length:] = 0.0
    found = zero_after_(x, torch.tensor(lengths))
    assert found is x and torch.equal(found, expected)
