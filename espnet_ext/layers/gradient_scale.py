"""Identity whose gradient is multiplied by given factors."""

import torch


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        (factor,) = ctx.saved_tensors
        return grad * factor, None


def scale_gradient(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """x itself; its gradient is multiplied by ``factor``, broadcast to its shape."""
    return _ScaleGradient.apply(x, factor)


def distance_factors(
    frames: int,
    decay: float,
    dropout: float = 0.0,
    reset: float = 0.0,
    device=None,
) -> torch.Tensor:
    """exp(-decay |s - t|) for each query t and key s, [T, T].

    Args:
        frames: T.
        decay: 0.1 in the experiments ``attscaledist``.
        dropout: Rate of a dropout mask over the keys on the factors
            (``attscaledist2``).
        reset: Probability that a factor is replaced by 1 (``attscaledist2``).

    Source: reference/models.md d.4.
    """
    positions = torch.arange(frames, device=device, dtype=torch.float32)
    factors = (-decay * (positions - positions.unsqueeze(1)).abs()).exp()
    if dropout > 0.0:
        keep_T = torch.empty_like(positions).bernoulli_(1.0 - dropout)
        factors = factors * (keep_T / (1.0 - dropout))
    if reset > 0.0:
        replaced = torch.empty_like(factors).bernoulli_(reset).bool()
        factors = factors.masked_fill(replaced, 1.0)
    return factors
