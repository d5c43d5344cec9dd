"""Compares the weight decay term of a file, and the sum of its losses.

Source: reference/models.md (a), (b), (d.9); reference/parity/README.md "orig_*".
"""

from typing import Iterator

from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile


def compare_constraints(file: ParityFile) -> Iterator[Comparison]:
    """The weight decay term; ``total_loss`` is the sum of the losses without it."""
    ours = float(file.reference().model.weight_decay.value())
    error = relative_error(ours, file.arrays["constraints"])
    yield Comparison("weight decay", error, VALUE_LIMIT)
    if "total_loss" in file.arrays:
        losses = [file.arrays[n] for n in file.arrays if n.startswith("loss:")]
        error = relative_error(sum(losses), file.arrays["total_loss"])
        yield Comparison("total_loss, the sum of the losses", error, VALUE_LIMIT)
