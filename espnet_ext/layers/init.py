"""Parameter initialisation of RETURNN: Glorot uniform over the stored shapes.

Source: reference/models.md section 0; RETURNN ``tf/util/basic.py`` VarianceScaling.
"""

import math

import torch

INITS = ("glorot", "variance_scaling_078_fan_in")


def uniform_limit(
    fan_in: int, fan_out: int, init: str = "glorot", scale: float = 1.0
) -> float:
    """l of the uniform distribution U(-l, l) of initial weights.

    Args:
        fan_in: Inputs of each output.
        fan_out: Outputs of each input.
        init: ``glorot``: sqrt(6 / (fan_in + fan_out)); ``variance_scaling_078_fan_in``:
            sqrt(3 * 0.78 / fan_in) (``old_moh_hybrid_conformer``).
        scale: Factor on the variance.

    Raises:
        ValueError: Unknown name.
    """
    if init not in INITS:
        raise ValueError(f"init {init!r}: expected one of {INITS}")
    if init == "glorot":
        return math.sqrt(6.0 * scale / max(fan_in + fan_out, 1))
    return math.sqrt(3.0 * 0.78 * scale / max(fan_in, 1))


def glorot_uniform_(weight: torch.Tensor, fan_in: int, fan_out: int) -> torch.Tensor:
    """Fill ``weight`` from U(-l, l), l = sqrt(6 / (fan_in + fan_out)).

    The fans are given by the caller because RETURNN takes them from its own tensor
    layout: an LSTM counts all four gates in ``fan_out``, a convolution counts the
    whole kernel on both sides and does not divide by the number of groups.
    """
    limit = uniform_limit(fan_in, fan_out)
    with torch.no_grad():
        return weight.uniform_(-limit, limit)


def init_linear_(linear: torch.nn.Linear) -> torch.nn.Linear:
    """Glorot uniform weight and zero bias."""
    glorot_uniform_(linear.weight, linear.in_features, linear.out_features)
    if linear.bias is not None:
        torch.nn.init.zeros_(linear.bias)
    return linear


def init_conv2d_(conv: torch.nn.Conv2d) -> torch.nn.Conv2d:
    """Glorot uniform filter (kernel area counted in both fans) and zero bias."""
    area = math.prod(conv.kernel_size)
    fan_in = conv.in_channels // conv.groups * area
    glorot_uniform_(conv.weight, fan_in, conv.out_channels * area)
    if conv.bias is not None:
        torch.nn.init.zeros_(conv.bias)
    return conv
