"""ESPnet's trainer, which tells the model its epoch and the parent its progress."""

from typing import Any, Iterator

import torch
from espnet2.train.trainer import Trainer

from espnet_ext.progress import report


class CountedBatches:
    """The batches of an epoch; reports how far the whole training is.

    Args:
        batches: Iterator over (ids, batch).
        epoch: 1-based.
        max_epoch: Number of epochs of the training.
    """

    def __init__(self, batches: Any, epoch: int, max_epoch: int):
        self.batches = batches
        self.epoch = epoch
        self.max_epoch = max_epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        try:
            length = len(self.batches)
        except TypeError:
            length = 0  # an iterator of unknown length: progress by whole epochs
        interval = max(length // 10, 1)
        for index, item in enumerate(self.batches):
            if index % interval == 0:
                share = index / length if length else 0.0
                report(
                    self.epoch - 1 + share,
                    self.max_epoch,
                    f"epoch {self.epoch}/{self.max_epoch}",
                )
            yield item


def call_set_epoch(model: torch.nn.Module, epoch: int) -> None:
    """Tell a model that has ``set_epoch`` which 1-based epoch begins."""
    model = getattr(model, "module", model)  # inside DistributedDataParallel
    if hasattr(model, "set_epoch"):
        model.set_epoch(epoch)


class ProgressTrainer(Trainer):
    """Trainer whose epochs begin with ``model.set_epoch`` (growth, delayed losses)."""

    @classmethod
    def train_one_epoch(cls, model, iterator, reporter, options, **kwargs) -> bool:
        """As upstream, after ``set_epoch`` and with progress reports."""
        epoch = reporter.get_epoch()
        call_set_epoch(model, epoch)
        return super().train_one_epoch(
            model=model,
            iterator=CountedBatches(iterator, epoch, options.max_epoch),
            reporter=reporter,
            options=options,
            **kwargs,
        )
