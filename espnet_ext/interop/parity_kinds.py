"""Kinds of array files of the original, recognised by what is in them.

A file may be of several kinds at once. Whatever it holds beyond what its kinds compare
is reported as a difference: nothing passes unseen.

A new kind is one line of ``KINDS``: a name, a function of the names in the file, and a
function that yields comparisons.
"""

import re
from typing import Callable, Collection, Iterator, List, NamedTuple, Tuple

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.interop.comparison import Comparison
from espnet_ext.interop.parity import compare_batch, compare_training
from espnet_ext.interop.parity_beams import compare_beams
from espnet_ext.interop.parity_constraints import compare_constraints
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.parity_gammatone import compare_gammatone
from espnet_ext.interop.parity_growth import compare_growth
from espnet_ext.interop.parity_inner import compare_inner
from espnet_ext.interop.parity_newbob import compare_newbob
from espnet_ext.interop.parity_trajectory import compare_trajectory

UNFORESEEN = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError),
)


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        name: In words.
        recognises: Whether a file with arrays of these names is of this kind.
        compare: Comparisons of what this kind has.
    """

    name: str
    recognises: Callable[[Collection[str]], bool]
    compare: Callable[[ParityFile], Iterator[Comparison]]


def has(*patterns: str) -> Callable[[Collection[str]], bool]:
    """Whether each of the patterns is the whole of some name."""

    def recognises(names: Collection[str]) -> bool:
        return all(any(re.fullmatch(p, name) for name in names) for p in patterns)

    return recognises


def is_batch(names: Collection[str]) -> bool:
    """Inputs, and outputs that are not of a search; without labels the encoder's."""
    searched = has("(.*:)?beam[0-9]+:labels")(names)
    return has("in:data", "in:targets")(names) or (
        has("in:data", "out:.+")(names) and not searched
    )


KINDS: Tuple[Kind, ...] = (
    Kind("beams", has("(.*:)?beam[0-9]+:labels"), compare_beams),
    Kind("growing copy", has("(.*:)?old:.+", "(.*:)?new:.+"), compare_growth),
    Kind("forward and backward", is_batch, compare_batch),
    Kind("inner outputs of orig", has("out:output/att"), compare_inner),
    Kind("weight decay", has("constraints"), compare_constraints),
    Kind("gammatone", has("wave_.+", "filterbank_c[0-9]+"), compare_gammatone),
    Kind("learning rates", has("dev_score:.+", "lr:.+"), compare_newbob),
    Kind("trajectory", has("history", "final:.+", "batch0:data"), compare_trajectory),
    Kind("chunked training", has(".+:in:data", ".+:in:targets"), compare_training),
)


def compare_file(file: ParityFile) -> List[Comparison]:
    """Everything the file holds, compared.

    Raises:
        FormatError: It is of no kind that we know, or holds impossible arrays.
    """
    kinds = [kind for kind in KINDS if kind.recognises(file.arrays)]
    if not kinds:
        raise FormatError(
            f"the file is of no known kind; it holds {sorted(file.arrays)[:10]}",
            expected="one of: " + ", ".join(kind.name for kind in KINDS),
        )
    comparisons = [c for kind in kinds for c in _compared(kind, file)]
    if not comparisons:
        raise FormatError(
            f"the file holds no outputs; it holds {sorted(file.arrays)[:10]}",
            expected="outputs beside inputs and parameters",
        )
    for name in sorted(set(file.arrays) - file.arrays.read):
        comparisons.append(Comparison(f"{name}: in the file, not compared", np.inf, 0))
    return comparisons


def _compared(kind: Kind, file: ParityFile) -> List[Comparison]:
    """All comparisons of a kind.

    Files are made by other programs. What is wrong with an array and is not checked
    where it is read must still be said in a message.
    """
    try:
        return list(kind.compare(file))
    except UNFORESEEN as error:
        raise FormatError(
            f"cannot be compared as {kind.name}: {type(error).__name__}: {error}",
            next_step="check --experiment, and shapes and types of the arrays",
        ) from error
