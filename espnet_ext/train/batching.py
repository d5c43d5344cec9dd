"""Batches of consecutive utterances, limited by padded frames and by their number.

Source: reference/training.md 1 "Batch building".
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, TypeVar

from espnet_ext.errors import OptionError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Limits:
    """Limits of a batch.

    Attributes:
        max_frames: Sequences times frames of the longest, and sequences times labels of
            the longest.
        max_sequences: Sequences; None for no limit.
    """

    max_frames: int
    max_sequences: Optional[int] = None


def in_batches(
    items: Sequence[Item],
    frames: Sequence[int],
    labels: Optional[Sequence[int]],
    limits: Limits,
) -> List[List[Item]]:
    """Consecutive items as batches, each as large as the limits allow.

    A single item that exceeds them is a batch of its own.

    Args:
        items: In their order.
        frames: Of each item.
        labels: Of each item; None: only frames count.
        limits: See there.
    """
    batches: List[List[Item]] = []
    batch: List[Item] = []
    longest = most_labels = 0
    for number, item in enumerate(items):
        new_longest = max(longest, frames[number])
        new_labels = max(most_labels, labels[number]) if labels is not None else 0
        size = len(batch) + 1
        too_many = limits.max_sequences is not None and size > limits.max_sequences
        if batch and (
            too_many or size * max(new_longest, new_labels) > limits.max_frames
        ):
            batches.append(batch)
            batch = []
            new_longest = frames[number]
            new_labels = labels[number] if labels is not None else 0
        batch.append(item)
        longest, most_labels = new_longest, new_labels
    return batches + [batch] if batch else batches


def for_all_ranks(batches: List[List[Item]], ranks: int) -> List[List[Item]]:
    """Batches of at least one item for each process of a distributed training.

    A batch with fewer items is joined with those behind it, the last one with the one
    before it. All others stay what they are for one process.

    Raises:
        OptionError: There are fewer items than processes.
    """
    joined: List[List[Item]] = []
    for batch in batches:
        if joined and len(joined[-1]) < ranks:
            joined[-1] = joined[-1] + batch
        else:
            joined.append(batch)
    if len(joined) > 1 and len(joined[-1]) < ranks:
        last = joined.pop()
        joined[-1] = joined[-1] + last
    if joined and len(joined[0]) < ranks:
        raise OptionError(
            f"{len(joined[0])} utterance(s) in a sub-epoch for {ranks} processes",
            where="distributed training",
            next_step="use fewer processes or fewer sub-epochs",
        )
    return joined
