"""Scores on the validation set."""

from typing import Iterator, Optional, Tuple

import torch
from espnet2.torch_utils.device_funcs import to_device

from espnet_ext.train.loading import Batch
from espnet_ext.train.precision import Precision
from espnet_ext.train.processes import Processes
from espnet_ext.train.signals import StopSignals
from espnet_ext.train.step import forward
from espnet_ext.train.sums import Sums


class StopRequested(Exception):
    """A signal came while validating; nothing that counts has changed."""


def in_step(
    batches: Iterator[Batch], processes: Processes, stop: StopSignals
) -> Iterator[Optional[Batch]]:
    """The batches of this process, then None until all processes have none left.

    Raises:
        StopRequested: In all processes, when one of them got a signal.
    """
    while True:
        item = next(batches, None)
        more, stopped = processes.any([item is not None, stop.received is not None])
        if stopped:
            raise StopRequested
        if not more:
            return
        yield item


@torch.no_grad()
def validate(
    model: torch.nn.Module,
    batches: Iterator[Batch],
    processes: Processes,
    precision: Precision,
    stop: StopSignals,
    forward_too: bool = True,
) -> Tuple[Sums, int]:
    """Means of what the model reports over the batches of all processes.

    Returns:
        Means weighted by the number of sequences, with ``loss_per_label``; number of
        batches.

    Raises:
        StopRequested: See ``in_step``.
    """
    model.eval()
    sums, labels, count = Sums(), 0.0, 0
    for item in in_step(batches, processes, stop):
        if item is None or not forward_too:
            continue
        ids, batch = item
        batch = to_device(dict(batch, utt_id=list(ids)), processes.device)
        with precision.autocast():
            _, stats, weight = forward(model, batch)
        values = {name: float(v) for name, v in stats.items() if v is not None}
        sums.add(values, float(weight))
        if batch.get("text_lengths") is not None:
            labels += float(batch["text_lengths"].sum())
        count += 1
    everywhere = processes.gather_all((sums.state_dict(), labels, count))
    total = Sums()
    for state, _, _ in everywhere:
        for name, (value, weight) in state.items():
            pair = total.values.setdefault(name, [0.0, 0.0])
            pair[0] += value
            pair[1] += weight
    all_labels = sum(labels for _, labels, _ in everywhere)
    if all_labels and "loss" in total.values:
        total.values["loss_per_label"] = [total.total("loss"), all_labels]
    return total, sum(count for _, _, count in everywhere)
