"""Order of the utterances of a sub-epoch.

The original's: all utterances are shuffled once a full epoch, sorted by duration within
chunks, shortest first, and dealt out to the sub-epochs in turn. A sub-epoch is then a
saw tooth of rising lengths, and each utterance comes once a full epoch.

Source: reference/training.md 1, data.md 5.
"""

import numpy

from espnet_ext.streams import derived_seed


def full_epoch(epoch: int, sub_epochs: int) -> int:
    """0-based full epoch that a 1-based sub-epoch belongs to."""
    return (epoch - 1) // sub_epochs


def generator_of(*parts: object) -> numpy.random.RandomState:
    """Random numbers of the stream ``data``, the same in every version of numpy."""
    sequence = numpy.random.SeedSequence(derived_seed(*parts))
    return numpy.random.RandomState(numpy.random.MT19937(sequence))


def shuffled_sorted_in_chunks(
    duration: numpy.ndarray, chunk: int, random: numpy.random.RandomState
) -> numpy.ndarray:
    """Numbers of all utterances: shuffled, then sorted within chunks.

    Args:
        duration: Of each utterance.
        chunk: Utterances that are sorted together; equal ones stay in their order.
        random: Source of the shuffling.
    """
    order = random.permutation(len(duration))
    for begin in range(0, len(order), chunk):
        part = order[begin : begin + chunk]
        by_length = numpy.argsort(duration[part], kind="stable")
        order[begin : begin + chunk] = part[by_length]
    return order


def partition(order, epoch: int, sub_epochs: int):
    """What the 1-based sub-epoch gets of the order of a full epoch: every n-th."""
    return order[(epoch - 1) % sub_epochs :: sub_epochs]


def sorted_by_length(duration: numpy.ndarray) -> numpy.ndarray:
    """Numbers of all utterances, shortest first, equal ones in their order."""
    return numpy.argsort(duration, kind="stable")
