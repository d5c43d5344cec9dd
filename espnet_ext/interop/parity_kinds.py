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
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.parity_growth import compare_growth
from espnet_ext.interop.parity_inner import compare_inner


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


KINDS: Tuple[Kind, ...] = (
    Kind("beams", has("(.*:)?beam[0-9]+:labels"), compare_beams),
    Kind("growing copy", has("(.*:)?old:.+", "(.*:)?new:.+"), compare_growth),
    Kind("forward and backward", has("in:data", "in:targets"), compare_batch),
    Kind("inner outputs of orig", has("out:output/att"), compare_inner),
    Kind("chunked training", has(".+:in:data", ".+:in:targets"), compare_training),
)


def compare_file(file: ParityFile) -> List[Comparison]:
    """Everything the file holds, compared.

    Raises:
        FormatError: It is of no kind that we know.
    """
    kinds = [kind for kind in KINDS if kind.recognises(file.arrays)]
    if not kinds:
        raise FormatError(
            f"the file is of no known kind; it holds {sorted(file.arrays)[:10]}",
            expected="one of: " + ", ".join(kind.name for kind in KINDS),
        )
    comparisons = [c for kind in kinds for c in kind.compare(file)]
    for name in sorted(set(file.arrays) - file.arrays.read):
        comparisons.append(Comparison(f"{name}: in the file, not compared", np.inf, 0))
    return comparisons
