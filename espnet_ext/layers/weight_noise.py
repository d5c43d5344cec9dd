"""Noise and dropout on weights, without renaming a parameter.

Perturbed copies of the weights take the place of the parameters for one forward pass
(``torch.func.functional_call``), so that checkpoints and optimizers see nothing of it.
The gradient goes to the parameter, through the mask where there is dropout.

Source: reference/parts.md 2.4 (``vn``, ``wdrop``): input and recurrent matrices of
LSTMs and weights of Linear layers; no biases, norms or convolutions.
"""

from typing import Dict, Iterator, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.growing import GrowingLinear
from espnet_ext.layers.lstm import Lstm
from espnet_ext.streams import on_device


def matrices(module: torch.nn.Module) -> Iterator[Tuple[str, torch.nn.Parameter]]:
    """Names and parameters that are perturbed."""
    for prefix, part in module.named_modules():
        names: Tuple[str, ...] = ()
        if isinstance(part, Lstm):
            names = ("weight_ih", "weight_hh")
        elif isinstance(part, (GrowingLinear, torch.nn.Linear)):
            names = ("weight",)
        for name in names:
            yield f"{prefix}.{name}" if prefix else name, getattr(part, name)


def dropped(
    weight: torch.Tensor,
    rate: float,
    generator: Optional[torch.Generator] = None,
) -> torch.Tensor:
    """Elementwise dropout of a weight, the kept ones scaled by 1 / (1 - rate)."""
    if generator is None:
        return F.dropout(weight, rate)
    source = on_device(generator, weight.device)
    keep = torch.empty_like(weight).bernoulli_(1.0 - rate, generator=source)
    return weight * (keep / (1.0 - rate))


def perturbed(
    module: torch.nn.Module,
    noise_std: float,
    dropout: float,
    generator: Optional[torch.Generator] = None,
) -> Dict[str, torch.Tensor]:
    """New tensors for the matrices of ``module``: w + N(0, noise_std^2), with dropout.

    Args:
        module: Its own parameters stay as they are.
        noise_std: Standard deviation of the noise.
        dropout: Rate of elementwise weight dropout.
        generator: Stream of the random numbers; the global one by default.
    """
    result = {}
    for name, weight in matrices(module):
        changed: torch.Tensor = weight
        if noise_std > 0.0:
            noise = torch.empty_like(weight, requires_grad=False)
            source = on_device(generator, weight.device)
            changed = changed + noise.normal_(0.0, noise_std, generator=source)
        if dropout > 0.0:
            changed = dropped(changed, dropout, generator)
        result[name] = changed
    return result
