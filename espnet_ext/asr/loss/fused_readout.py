"""Readout of single nodes, activation(am_t + lm_u), and its gradient.

The rows of the frames and of the positions are tables, from which a tile of nodes is
gathered. For maxout, the pairs (x_2j, x_2j+1) are stored apart, first all even ones and
then all odd ones, so that the maximum runs over two contiguous halves.
"""

# Dimensions: B batch, T frames, S positions, R readout before the activation, J after,
#             N nodes of a tile
from typing import Callable, Dict, NamedTuple, Tuple

import torch

from espnet_ext.errors import OptionError
from espnet_ext.layers.products import linear
from espnet_ext.names import nearest

ROWS = 32
Pair = Tuple[torch.Tensor, torch.Tensor]


def _maxout(x_NR: torch.Tensor) -> torch.Tensor:
    return torch.maximum(*x_NR.chunk(2, dim=1))


def _maxout_gradient(grad_NJ, readout_NJ, x_NR) -> torch.Tensor:
    even, odd = x_NR.chunk(2, dim=1)
    difference = even.sub_(odd)
    torch.ops.aten.threshold_backward.grad_input(
        grad_NJ, difference, 0.0, grad_input=even
    )
    torch.sub(grad_NJ, even, out=odd)
    return x_NR


def _tanh_gradient(grad_NJ, readout_NJ, x_NR) -> torch.Tensor:
    return torch.ops.aten.tanh_backward(grad_NJ, readout_NJ)


def _relu_gradient(grad_NJ, readout_NJ, x_NR) -> torch.Tensor:
    return torch.ops.aten.threshold_backward(grad_NJ, readout_NJ, 0.0)


class Activation(NamedTuple):
    """Readout of a tile and the gradient of the sum that went in.

    Attributes:
        forward: x [N, R] to the readout [N, J].
        backward: (gradient of the readout, readout, x) to the gradient of x, which may
            overwrite x.
        pairs: Whether R = 2 J with adjacent pairs. Of two that are exactly equal, the
            odd one gets the gradient.
    """

    forward: Callable[[torch.Tensor], torch.Tensor]
    backward: Callable[..., torch.Tensor]
    pairs: bool = False


ACTIVATIONS: Dict[str, Activation] = {
    "maxout": Activation(_maxout, _maxout_gradient, pairs=True),
    "tanh": Activation(torch.tanh, _tanh_gradient),
    "relu": Activation(torch.relu, _relu_gradient),
    "none": Activation(lambda x: x, lambda grad, *unused: grad),
}


def get_activation(name: str) -> Activation:
    """The activation of this name.

    Raises:
        OptionError: There is none; the nearest name is suggested.
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    near = nearest(name, ACTIVATIONS)
    raise OptionError(
        f"unknown activation {name!r} of the readout",
        expected=", ".join(ACTIVATIONS),
        next_step=f"did you mean {near}?" if near else None,
    )


class Readout:
    """Tables of the two inputs, and optionally of their gradients.

    Args:
        am_BTR: Projected frames.
        lm_BSR: Projected positions, bias included in one of the two.
        activation: How their sum becomes the readout.
        dtype: Type to compute in.
        tile: Largest number of nodes of a tile.
        gradients: Whether ``add_gradient`` will be called.
    """

    def __init__(self, am_BTR, lm_BSR, activation, dtype, tile, *, gradients=False):
        self.activation = activation
        self.shapes = am_BTR.shape, lm_BSR.shape
        self.tables = [self._table(x.to(dtype)) for x in (am_BTR, lm_BSR)]
        size = self.tables[0].size(1)
        self.buffers = [self.tables[0].new_empty(tile, size) for _ in range(2)]
        if gradients:
            self.gradients = [torch.zeros_like(table) for table in self.tables]

    def _table(self, x: torch.Tensor) -> torch.Tensor:
        x_MR = x.reshape(-1, x.size(2))
        if not self.activation.pairs:
            return x_MR
        return torch.cat([x_MR[:, 0::2], x_MR[:, 1::2]], dim=1)

    def rows(self, frame_N: torch.Tensor, position_N: torch.Tensor) -> torch.Tensor:
        """Readout [N, J] of these rows of the tables."""
        sum_NR, other_NR = (buffer[: len(frame_N)] for buffer in self.buffers)
        torch.index_select(self.tables[0], 0, frame_N, out=sum_NR)
        torch.index_select(self.tables[1], 0, position_N, out=other_NR)
        return self.activation.forward(sum_NR.add_(other_NR))

    def add_gradient(self, grad_NJ, readout_NJ, frame_N, position_N) -> None:
        """Add the gradient of the last tile to those of its frames and positions."""
        sum_NR = self.buffers[0][: len(frame_N)]
        grad_NR = self.activation.backward(grad_NJ, readout_NJ, sum_NR)
        for table, rows_N in zip(self.gradients, (frame_N, position_N)):
            # few rows with many nodes each: a product with ones and zeros, which has
            # a fixed order of summation, unlike index_add_ on a GPU
            rows_M, inverse_N = rows_N.unique(return_inverse=True)
            # oneDNN compiles a kernel for each shape: let there be few shapes
            height = -(-len(rows_M) // ROWS) * ROWS
            members_MN = grad_NR.new_zeros(height, len(rows_N))
            members_MN.scatter_(0, inverse_N.unsqueeze(0), 1.0)
            sums_MR = linear(members_MN, grad_NR.t())[: len(rows_M)]
            table.index_add_(0, rows_M, sums_MR)

    def input_gradients(self) -> Pair:
        """Gradients of am_BTR and lm_BSR; the tables are given up for them."""
        self.tables = self.buffers = []
        am, lm = (
            self._untable(grad).view(shape)
            for grad, shape in zip(self.gradients, self.shapes)
        )
        return am, lm

    def _untable(self, x_MR: torch.Tensor) -> torch.Tensor:
        if not self.activation.pairs:
            return x_MR
        return torch.stack(x_MR.chunk(2, dim=1), dim=2).flatten(1)
