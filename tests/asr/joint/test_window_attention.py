"""Window attention against its definition, frame by frame."""

import pytest
import torch

from espnet_ext.asr.joint.window_attention import WindowAttention


@pytest.mark.parametrize("window_size", [1, 4, 5])
@pytest.mark.parametrize("padding", ["visible", "zero"])
def test_context_is_the_softmax_average_of_the_frames_around(window_size, padding):
    torch.manual_seed(window_size)
    layer = WindowAttention(3, 2, window_size, padding=padding).double().eval()
    frames, lengths = torch.randn(2, 6, 3, dtype=torch.float64), torch.tensor([6, 4])
    context = layer(frames, lengths)
    left = (window_size - 1) // 2
    for b, valid in enumerate(lengths.tolist() if padding == "zero" else [6, 6]):
        keys, queries = layer.key(frames[b]), layer.query(frames[b])
        for t in range(6):
            energies, values = [], []
            for s in range(t - left, t - left + window_size):
                inside = 0 <= s < valid
                energy = keys[s] @ queries[t] * 2**-0.5 if inside else torch.zeros(())
                energies.append(energy.double())
                values.append(frames[b, s] if inside else torch.zeros(3).double())
            expected = torch.stack(energies).softmax(0) @ torch.stack(values)
            torch.testing.assert_close(context[b, t], expected)


@pytest.mark.parametrize("padding", ["visible", "zero"])
@pytest.mark.parametrize("key_bias", [True, False])
@pytest.mark.parametrize("lengths", [[6, 4, 1], None])
def test_projection_of_frames_and_context_is_what_it_says(padding, key_bias, lengths):
    torch.manual_seed(2)
    options = dict(padding=padding, key_bias=key_bias)
    layer = WindowAttention(6, 2, 5, **options).double().eval()
    with torch.no_grad():
        if key_bias:
            layer.key.bias.normal_()
        lengths = lengths and torch.tensor(lengths)
        for size in (None, 4):  # features in use while an encoder grows
            frames = torch.randn(3, 6, size or 6, dtype=torch.float64)
            weight = torch.randn(7, 2 * (size or 6), dtype=torch.float64)
            context = layer(frames, lengths, size)
            expected = torch.cat([frames, context], 2) @ weight.t()
            found = layer.projected(frames, lengths, weight, size)
            torch.testing.assert_close(found, expected)


def test_its_gradient_is_right():
    torch.manual_seed(1)
    layer = WindowAttention(3, 2, 3, key_dropout=0.0, weight_dropout=0.0).double()
    frames = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, torch.tensor([4, 2])), frames)
