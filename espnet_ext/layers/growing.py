"""Layers of which only a leading part is in use while a network grows.

The original builds a larger network at each growing stage and copies the old parameters
into the leading part of the new ones, axis by axis; an axis that consists of several
parts (the four gates of an LSTM, the two halves of a gated linear unit) is copied part
by part. Here each parameter has its final shape from the beginning, and a stage uses
what the original would have copied there. What is not in use gets no gradient.

Source: reference/training.md 6 and reference/models.md d.5.
"""

# Dimensions: O output, I input, D model
from typing import (
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
import torch.nn.functional as F

from espnet_ext.layers.init import uniform_limit

LAYER_NORM_EPS = 1e-6
Sizes = Mapping[str, int]  # size in use of each kind of axis


class Axis(NamedTuple):
    """One axis of a parameter.

    Attributes:
        kind: Which entry of the sizes its parts follow; None for an axis that keeps
            its size.
        size: Full length.
        parts: Number of equal parts; the leading entries of each are in use.
    """

    kind: Optional[str]
    size: int
    parts: int = 1

    def in_use(self, sizes: Sizes) -> int:
        """Entries in use of each part."""
        full = self.size // self.parts
        return full if self.kind is None else sizes.get(self.kind, full)

    def index(self, sizes: Sizes) -> torch.Tensor:
        """Positions in use, ascending."""
        positions = torch.arange(self.size).view(self.parts, -1)
        return positions[:, : self.in_use(sizes)].flatten()


def fixed(size: int) -> Axis:
    """An axis that does not grow."""
    return Axis(None, size)


class GrowingModule(torch.nn.Module):
    """Base of modules whose own parameters and buffers have axes that grow."""

    def __init__(self):
        super().__init__()
        self.axes: Dict[str, Tuple[Axis, ...]] = {}
        self._narrowed: Dict[str, List[Tuple[int, int, int]]] = {}

    def set_sizes(self, sizes: Sizes) -> None:
        """Use only these sizes of the axes of each kind; {} for the full module."""
        self._narrowed = {}
        for name, axes in self.axes.items():
            steps = [
                (dim, axis.parts, axis.in_use(sizes))
                for dim, axis in enumerate(axes)
                if axis.in_use(sizes) * axis.parts != axis.size
            ]
            if steps:
                self._narrowed[name] = steps

    def used(self, name: str) -> torch.Tensor:
        """The part in use of a parameter or buffer, the tensor itself if all of it."""
        tensor = getattr(self, name)
        for dim, parts, size in self._narrowed.get(name, ()):
            blocks = tensor.unflatten(dim, (parts, tensor.size(dim) // parts))
            tensor = blocks.narrow(dim + 1, 0, size).flatten(dim, dim + 1)
        return tensor

    def used_index(self, name: str, sizes: Sizes) -> Tuple[torch.Tensor, ...]:
        """What ``used`` takes at these sizes, for indexing the full tensor."""
        index = [axis.index(sizes) for axis in self.axes[name]]
        return tuple(
            positions.view(-1, *[1] * (len(index) - 1 - dim))
            for dim, positions in enumerate(index)
        )

    def initialise(self, stages: Sequence[Sizes]) -> None:
        """Draw initial values anew; overridden where they depend on the stage."""

    def draw(
        self, name: str, stages: Sequence[Sizes], limit: Callable[..., float]
    ) -> None:
        """Fill a parameter from U(-l, l), as if its parts were created stage by stage.

        Args:
            name: Of the parameter; nothing happens on the meta device.
            stages: In ascending order; each entry gets the limit of the first one that
                uses it. Entries in use in none get that of the full size.
            limit: l for the sizes in use of each axis.
        """
        parameter = getattr(self, name)
        if parameter.is_meta:
            return
        with torch.no_grad():
            for sizes in [{}, *reversed(stages)]:
                index = self.used_index(name, sizes)
                shape = tuple(positions.numel() for positions in index)
                bound = limit(*shape)
                parameter[index] = torch.empty(shape).uniform_(-bound, bound)


class GrowingLinear(GrowingModule):
    """Linear layer with uniform weight and zero bias.

    Args:
        in_axis: Input features.
        out_axis: Output features.
        bias: Whether there is one.
        init_scale: The variance of the initial weight is multiplied by it
            (``mhsapinit``: 0.5).
        init: Distribution of the initial weight, see ``uniform_limit``.
    """

    def __init__(
        self,
        in_axis: Axis,
        out_axis: Axis,
        bias: bool = True,
        init_scale: float = 1.0,
        init: str = "glorot",
    ):
        super().__init__()
        self.init, self.init_scale = init, init_scale
        self.weight = torch.nn.Parameter(torch.empty(out_axis.size, in_axis.size))
        self.axes = {"weight": (out_axis, in_axis)}
        self.bias = None
        if bias:
            self.bias = torch.nn.Parameter(torch.zeros(out_axis.size))
            self.axes["bias"] = (out_axis,)
        self.initialise([{}])

    def initialise(self, stages: Sequence[Sizes]) -> None:
        """The weight of a layer created in the first stage that uses it."""
        self.draw(
            "weight",
            stages,
            lambda outputs, inputs: uniform_limit(
                inputs, outputs, self.init, self.init_scale
            ),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., I in use] to [..., O in use]."""
        bias = None if self.bias is None else self.used("bias")
        return F.linear(x, self.used("weight"), bias)


class GrowingLayerNorm(GrowingModule):
    """Layer normalisation over the features in use, eps 1e-6 as in the original."""

    def __init__(self, axis: Axis):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(axis.size))
        self.bias = torch.nn.Parameter(torch.zeros(axis.size))
        self.axes = {"weight": (axis,), "bias": (axis,)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised x [..., D in use]."""
        weight, bias = self.used("weight"), self.used("bias")
        return F.layer_norm(x, weight.shape, weight, bias, LAYER_NORM_EPS)


def set_sizes(module: torch.nn.Module, sizes: Sizes) -> None:
    """``set_sizes`` of every growing module inside ``module``."""
    for part in module.modules():
        if isinstance(part, GrowingModule):
            part.set_sizes(sizes)


def initialise(module: torch.nn.Module, stages: Sequence[Sizes]) -> None:
    """``initialise`` of every growing module inside, for stages in ascending order."""
    for part in module.modules():
        if isinstance(part, GrowingModule):
            part.initialise(stages)


def used_entries(module: torch.nn.Module, sizes: Sizes) -> Dict[str, torch.Tensor]:
    """Boolean mask of what is in use of each parameter and buffer that grows.

    What is not in use must not be decayed: the original creates it later.
    """
    masks = {}
    for prefix, part in module.named_modules():
        if not isinstance(part, GrowingModule):
            continue
        for name in part.axes:
            tensor = getattr(part, name)
            mask = torch.zeros(tensor.shape, dtype=torch.bool)
            mask[part.used_index(name, sizes)] = True
            masks[f"{prefix}.{name}" if prefix else name] = mask
    return masks
