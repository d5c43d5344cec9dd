"""Runs an operation over a stream piece by piece, with the result of one pass.

The operation turns N input steps into about N / reduction outputs, and output j depends
on the inputs (j - left) reduction up to (j + 1 + right) reduction - 1 alone. Each piece
is computed together with this context, and outputs that saw the edge of a piece are
thrown away.
"""

# Dimensions: N inputs, M outputs; the first axis is batch, of size one
from typing import Callable, Optional

import torch


class Blockwise:
    """One operation over a stream.

    Args:
        operation: ``f(inputs [1, N, ..]) -> outputs [1, M, ..]``. Where it places its
            windows may depend on N modulo ``reduction`` (SAME padding), so it is always
            given a multiple of it, up to the last piece.
        reduction: Input steps of one output.
        left: Outputs before that see the same inputs.
        right: Outputs after; the look-ahead.
    """

    def __init__(
        self,
        operation: Callable[[torch.Tensor], torch.Tensor],
        reduction: int,
        left: int,
        right: int,
    ):
        self.operation = operation
        self.reduction = reduction
        self.left, self.right = left, right
        self.kept: Optional[torch.Tensor] = None
        self.first = 0  # number of the output that the kept inputs begin with
        self.done = 0  # outputs that have been given out
        self.shape: torch.Size = torch.Size([0])

    def push(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs that are final after these inputs [1, n, ..]."""
        self.kept = inputs if self.kept is None else torch.cat([self.kept, inputs], 1)
        whole = self.kept.size(1) // self.reduction
        final = self.first + whole - self.right
        if final <= self.done:
            return self._none()
        outputs = self.operation(self.kept[:, : whole * self.reduction])
        return self._give(outputs, final)

    def finish(self) -> torch.Tensor:
        """The remaining outputs; the last inputs stand at the end of the stream."""
        if self.kept is None or self.kept.size(1) == 0:
            return self._none()
        outputs = self.operation(self.kept)
        return self._give(outputs, self.first + outputs.size(1))

    def _none(self) -> torch.Tensor:
        like = torch.zeros(()) if self.kept is None else self.kept
        return like.new_zeros(1, 0, *self.shape)

    def _give(self, outputs: torch.Tensor, final: int) -> torch.Tensor:
        self.shape = outputs.shape[2:]
        given = outputs[:, self.done - self.first : final - self.first]
        self.done = max(final, self.done)
        first = max(self.done - self.left, 0)
        if first > self.first:
            drop = (first - self.first) * self.reduction
            self.kept, self.first = self.kept[:, drop:], first
        return given
