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


def test_its_gradient_is_right():
    torch.manual_seed(1)
    layer = WindowAttention(3, 2, 3, key_dropout=0.0, weight_dropout=0.0).double()
    frames = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, torch.tensor([4, 2])), frames)
