"""Statistics of batch normalisation with and without padding."""

import torch

from espnet_ext.layers.batch_norm import GrowingBatchNorm
from espnet_ext.layers.growing import Axis


def batch():
    x_BDT = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    return x_BDT, torch.tensor([5, 2])


def test_padding_is_part_of_the_statistics_unless_masked():
    x, lengths = batch()
    plain = GrowingBatchNorm(Axis("model", 3))(x, lengths)
    torch.testing.assert_close(plain.mean((0, 2)), torch.zeros(3), atol=1e-6, rtol=0)
    masked = GrowingBatchNorm(Axis("model", 3), masked=True)(x, lengths)
    valid = torch.cat([masked[0], masked[1, :, :2]], dim=1)
    torch.testing.assert_close(valid.mean(1), torch.zeros(3), atol=1e-6, rtol=0)
    assert not torch.allclose(plain, masked)


def test_without_padding_both_normalise_alike_and_differ_in_the_running_variance():
    """corrections.md 6: N / (N - 1) without mask, biased with it."""
    x, _ = batch()
    full = torch.tensor([5, 5])
    plain = GrowingBatchNorm(Axis("model", 3))
    masked = GrowingBatchNorm(Axis("model", 3), masked=True)
    torch.testing.assert_close(plain(x, full), masked(x, full))
    torch.testing.assert_close(plain.running_mean, masked.running_mean)
    biased = x.var((0, 2), unbiased=False)
    torch.testing.assert_close(plain.running_var, 0.9 + 0.1 * biased * 10 / 9)
    torch.testing.assert_close(masked.running_var, 0.9 + 0.1 * biased)


def test_masked_output_of_valid_frames_does_not_depend_on_the_padding():
    x, lengths = batch()
    norm = GrowingBatchNorm(Axis("model", 3), masked=True)
    expected = norm(x, lengths)[1, :, :2]
    x[1, :, 2:] = 100.0
    torch.testing.assert_close(norm(x, lengths)[1, :, :2], expected)


def test_running_statistics_change_in_training_alone_and_only_where_in_use():
    x, lengths = batch()
    for masked in (False, True):
        norm = GrowingBatchNorm(Axis("model", 4), masked)
        norm.set_sizes({"model": 3})
        norm(x + 1.0, lengths)
        assert (norm.running_mean[:3] != 0).all()
        assert norm.running_mean[3] == 0 and norm.running_var[3] == 1
        before = norm.running_mean.clone()
        y = norm.eval()(x, lengths)
        assert torch.equal(norm.running_mean, before)
        expected = (x[0, 0, 0] - before[0]) / torch.sqrt(norm.running_var[0] + 1e-3)
        torch.testing.assert_close(y[0, 0, 0], expected)


def test_old_statistics_are_updated_in_evaluation_before_they_are_used():
    """By the formula of the original's layer; no gradient goes to the statistics."""
    x, lengths = batch()
    x.requires_grad_()
    norm = GrowingBatchNorm(Axis("model", 3), True, updates_in_evaluation=True).eval()
    y = norm(x, lengths)
    valid = torch.cat([x[0], x[1, :, :2]], dim=1).detach()
    mean = 0.1 * valid.mean(1)
    variance = 0.9 + 0.1 * valid.var(1, unbiased=False)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    scale = torch.rsqrt(variance + 1e-3)
    torch.testing.assert_close(y, (x - mean[:, None]) * scale[:, None])
    y.sum().backward()
    torch.testing.assert_close(x.grad, scale[:, None].expand_as(x))
    assert not torch.allclose(norm(x, lengths), y)  # a second time: other statistics
