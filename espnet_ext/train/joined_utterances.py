"""Utterances joined end to end, as an augmentation.

Neighbours in the order of a sub-epoch become one training sequence: the samples of the
second follow those of the first, and so do the labels. Not part of the named
experiments; with the same aim as the original's test on joined recordings.

Source: reference/recognition.md 5.
"""

from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy

from espnet_ext.train.regime import Concatenation

Ids = Tuple[str, ...]
SEPARATOR = "+"


def group_neighbours(
    order: Sequence[int], options: Concatenation, random: numpy.random.RandomState
) -> List[Tuple[int, ...]]:
    """The order in groups: with some probability ``sequences`` together, else one."""
    groups: List[Tuple[int, ...]] = []
    position = 0
    draws = random.random_sample(len(order))
    while position < len(order):
        joins = draws[position] < options.probability
        size = options.sequences if joins else 1
        groups.append(tuple(int(n) for n in order[position : position + size]))
        position += size
    return groups


class JoinedUtterances:
    """A dataset whose items may be several utterances.

    Args:
        dataset: Gives (id, arrays by name) of one utterance.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __getitem__(self, ids: Union[str, Ids]) -> Tuple[str, Dict[str, numpy.ndarray]]:
        """The utterances of ``ids`` joined, under the name ``id+id``."""
        if isinstance(ids, str):
            return self.dataset[ids]
        loaded = [self.dataset[name] for name in ids]
        names = SEPARATOR.join(name for name, _ in loaded)
        keys = loaded[0][1]
        return names, {k: numpy.concatenate([d[k] for _, d in loaded]) for k in keys}
