"""Products whose rows do not depend on how many rows there are.

A matrix library chooses another order of summation for another number of rows, so that
the last bits of a hypothesis' scores would change with the batch it is searched in.
Here a row of ``x W^T + b`` is the same, bit for bit, in any batch and at any place in
it:

* oneDNN with weights packed beforehand multiplies every number of rows by the same
  kernel. This is not documented, so it is tried out for each shape, and
* where it does not hold or is not there (float64, other builds of torch), every product
  has exactly ``BLOCK`` rows, the last block filled up with zeros.

Packed weights are also the fastest: 12 rows take two thirds of the time.
On a GPU it is a plain product.
"""

# Dimensions: N rows, I inputs, O outputs
import functools
from typing import Optional

import torch
import torch.nn.functional as F

BLOCK = 16
LARGEST = 256  # rows of one product; more are cut
TRIED = (*range(1, 18), 23, 31, 32, 33, 48, 64, 65, 96, 97, 128, 192, LARGEST)


def _operation(name: str):
    return getattr(torch.ops.mkldnn, name, None)


def _packed(weight_OI: torch.Tensor) -> Optional[torch.Tensor]:
    """Weights in oneDNN's own layout, None where it cannot be had."""
    pack = _operation("_reorder_linear_weight")
    usable = weight_OI.device.type == "cpu" and weight_OI.dtype == torch.float32
    if not (usable and pack and torch.backends.mkldnn.is_available()):
        return None
    if not torch.backends.mkldnn.enabled or _operation("_linear_pointwise") is None:
        return None
    return pack(weight_OI.contiguous(), LARGEST)


def _multiply(x_NI, packed, bias_O) -> torch.Tensor:
    return _operation("_linear_pointwise")(x_NI, packed, bias_O, "none", [], "")


@functools.lru_cache(maxsize=None)
def rows_are_independent(inputs: int, outputs: int, threads: int) -> bool:
    """Whether packed products of this shape give a row the same bits in any batch.

    ``threads`` only tells apart settings under which the library decides differently.
    """
    generator = torch.Generator().manual_seed(1)
    weight_OI = torch.randn(outputs, inputs, generator=generator)
    x_NI = torch.randn(LARGEST, inputs, generator=generator)
    packed = _packed(weight_OI)
    if packed is None:
        return False
    whole = _multiply(x_NI, packed, None)
    return all(
        torch.equal(_multiply(x_NI[-n:].contiguous(), packed, None), whole[-n:])
        for n in TRIED
    )


class RowProduct:
    """``x W^T + b`` for a fixed W; no gradient is recorded.

    Args:
        weight_OI: W; a copy is kept, later changes are not seen.
        bias_O: b, or None.
    """

    def __init__(self, weight_OI: torch.Tensor, bias_O: Optional[torch.Tensor] = None):
        self.weight_OI = weight_OI.detach().clone()
        self.bias_O = None if bias_O is None else bias_O.detach().clone()
        outputs, inputs = weight_OI.shape
        self.packed = None
        if rows_are_independent(inputs, outputs, torch.get_num_threads()):
            self.packed = _packed(self.weight_OI)

    def __call__(self, x_NI: torch.Tensor) -> torch.Tensor:
        """[N, O]."""
        if x_NI.device.type != "cpu":
            return F.linear(x_NI, self.weight_OI, self.bias_O)
        size = BLOCK if self.packed is None else LARGEST
        if x_NI.size(0) <= size:
            return self._block(x_NI)
        return torch.cat([self._block(block) for block in x_NI.split(size)])

    def _block(self, x_NI: torch.Tensor) -> torch.Tensor:
        rows = x_NI.size(0)
        if self.packed is not None and rows:
            return _multiply(x_NI.contiguous(), self.packed, self.bias_O)
        padded = F.pad(x_NI, (0, 0, 0, BLOCK - rows))
        return F.linear(padded, self.weight_OI, self.bias_O)[:rows]
