"""Noise and dropout on weights, without renaming a parameter.

Perturbed copies of the weights take the place of the parameters for one forward pass
(``torch.func.functional_call``), so that checkpoints and optimizers see nothing of it.
The gradient goes to the parameter, through the mask where there is dropout.

The original drew anew in each batch, also where the gradients of several batches make
one update. ``each: update`` keeps what was drawn until the gradients are gone.

Source: reference/parts.md 2.4 (``vn``, ``wdrop``): input and recurrent matrices of
LSTMs and weights of Linear layers; no biases, norms or convolutions.
"""

from typing import Dict, Iterator, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.layers.growing import GrowingLinear
from espnet_ext.layers.lstm import Lstm
from espnet_ext.streams import on_device

EACH = ("batch", "update")


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


class WeightNoise(torch.nn.Module):
    """Noise and dropout on the matrices of the module that it is given.

    Args:
        std: Standard deviation of the noise.
        dropout: Rate of elementwise weight dropout.
        each: ``batch``: every forward pass in training draws anew (original);
            ``update``: all batches of an update have the same noise. Where one update
            ends follows from the gradients, which are gone then. A buffer, the only
            one, has it continue after a resumption in the middle of an update.
    """

    random_stream = "noise"

    def __init__(self, std: float = 0.0, dropout: float = 0.0, each: str = "batch"):
        super().__init__()
        if std < 0.0 or not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"weight_noise_std {std}, weight_dropout {dropout}: expected "
                "0 <= weight_noise_std and 0 <= weight_dropout < 1"
            )
        if each not in EACH:
            raise ValueError(f"weight_noise_each {each!r}: expected one of {EACH}")
        self.std, self.dropout, self.each = std, dropout, each
        self.generator: Optional[torch.Generator] = None  # set by streams.attach
        if each == "update":
            # float64 holds a seed of 31 bits, and n-best averaging adds up integers
            self.register_buffer("seed", torch.zeros((), dtype=torch.float64))

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do in this forward pass."""
        return self.training and (self.std > 0.0 or self.dropout > 0.0)

    def weights(self, module: torch.nn.Module) -> Dict[str, torch.Tensor]:
        """See ``perturbed``."""
        generator = self.generator
        if self.each == "update":
            if all(weight.grad is None for _, weight in matrices(module)):
                drawn = torch.randint(2**31, (), generator=generator)
                self.seed.fill_(float(drawn))
            generator = torch.Generator().manual_seed(int(self.seed))
        return perturbed(module, self.std, self.dropout, generator)
