"""The batches of a sub-epoch, from any batch on, the same for any number of workers.

An iterator factory of ours has ``build_iter(epoch, start_batch=...)``. ESPnet's has
not: its loader is made again for the batches that are left, so that nothing is read to
be thrown away. Other people's preprocessors draw from global generators, which are
seeded for each utterance, so that neither the number of workers nor a resumption
changes anything.
"""

import contextlib
import inspect
import itertools
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch.utils.data import DataLoader, Dataset

from espnet_ext.streams import derived_seed
from espnet_ext.train.random_state import seeded_generators, untouched_generators

Batch = Tuple[List[str], Dict[str, torch.Tensor]]


class SeededDataset(Dataset):
    """ESPnet's dataset with random numbers that depend on the utterance alone.

    Args:
        dataset: Maps an utterance id to (id, features).
        seed: Of the training.
        epoch: 1-based sub-epoch.
    """

    def __init__(self, dataset: Any, seed: int, epoch: int):
        self.dataset = dataset
        self.seed = seed
        self.epoch = epoch

    def __getitem__(self, key: Any) -> Any:
        with seeded_generators(derived_seed(self.seed, self.epoch, key, "preprocess")):
            return self.dataset[key]

    def __len__(self) -> int:
        return len(self.dataset)


def remaining(loader: DataLoader, start_batch: int, seed: int, epoch: int):
    """A loader without its first batches, seeded by utterance."""
    return DataLoader(
        dataset=SeededDataset(loader.dataset, seed, epoch),
        batch_sampler=list(loader.batch_sampler)[start_batch:],
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
        generator=loader.generator,
    )


class SubEpochBatches:
    """Iterator over the batches of a sub-epoch that are left.

    Args:
        factory: ESPnet's or one of ours.
        epoch: 1-based sub-epoch.
        start_batch: Batches that are done already.
        seed: Of the training.

    Attributes:
        total: Batches of the whole sub-epoch, None if unknown.
    """

    def __init__(self, factory: Any, epoch: int, start_batch: int, seed: int):
        with untouched_generators():
            source = self._source(factory, epoch, start_batch, seed)
            self.total: Optional[int] = None
            with contextlib.suppress(TypeError):
                self.total = start_batch + len(source)
            if self.total is not None and self.total <= start_batch:
                source = ()  # no workers are started for nothing
            # Workers are started here. They are children of this process, which ends
            # them when the iterator is deleted.
            self._iterator: Iterator[Batch] = iter(source)
            if self._to_skip:
                next(itertools.islice(self._iterator, self._to_skip - 1, None), None)

    def _source(self, factory: Any, epoch: int, start_batch: int, seed: int) -> Any:
        self._to_skip = 0
        if "start_batch" in inspect.signature(factory.build_iter).parameters:
            loader = factory.build_iter(epoch, start_batch=start_batch)
            left = 0
        else:
            loader = factory.build_iter(epoch)
            left = start_batch
        if isinstance(loader, DataLoader) and isinstance(loader.batch_sampler, list):
            return remaining(loader, left, seed, epoch)
        self._to_skip = left
        return loader

    def __iter__(self) -> "SubEpochBatches":
        return self

    def __next__(self) -> Batch:
        return next(self._iterator)
