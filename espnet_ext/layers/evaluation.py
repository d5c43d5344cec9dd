"""What the ways that are open only to evaluation on CPUs have in common."""

# Dimensions: B batch, T frames
import torch
import torch.nn.functional as F

from espnet_ext.layers.products import linear


def is_evaluated_on_cpu(x: torch.Tensor) -> bool:
    """Whether no gradient is recorded and nothing is compiled or exported, so that
    results may be written in place and by any operator; and x is on a CPU.
    """
    return not (
        torch.is_grad_enabled()
        or x.device.type != "cpu"
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
    )


def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [..., I] times the transposed weight [O, I], a new tensor [..., O].

    By the fastest library, see ``products``; under autocast in its type, but the result
    is float32.
    """
    if torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight).float()
    rows = linear(x.reshape(-1, x.size(-1)), weight)
    return rows.view(*x.shape[:-1], len(weight))


def zero_after_(x_BT: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """x [B, T, ..] with the frames from ``lengths_B`` on set to zero, in place.

    Only the frames in which some sequence has ended are looked at.
    """
    lengths_B = lengths_B.to(x_BT.device)
    shortest = max(int(lengths_B.min()), 0) if len(lengths_B) else 0
    frames_T = torch.arange(shortest, x_BT.size(1), device=x_BT.device)
    padded_BT = frames_T >= lengths_B.unsqueeze(1)
    padded = padded_BT.view(*padded_BT.shape, *[1] * (x_BT.dim() - 2))
    x_BT[:, shortest:].masked_fill_(padded, 0.0)
    return x_BT
