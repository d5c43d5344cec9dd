"""Iterators over the batches of sub-epochs, a function of (seed, sub-epoch) alone.

The factory takes the place of ESPnet's where ``regime_conf`` says anything about order
or batches. The number of loader workers changes nothing, and a training that is resumed
in the middle of a sub-epoch does not load the batches it has seen.

Source: reference/training.md 1.
"""

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy
import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from torch.utils.data import DataLoader

from espnet_ext.errors import OptionError
from espnet_ext.streams import derived_seed
from espnet_ext.train import ordering
from espnet_ext.train.batching import Limits, for_all_ranks, in_batches
from espnet_ext.train.corpus_lengths import CorpusLengths
from espnet_ext.train.joined_utterances import JoinedUtterances, group_neighbours
from espnet_ext.train.regime import BatchSize, Regime
from espnet_ext.train.usable_utterances import usable

Batch = Tuple[Any, ...]  # of utterance ids, or of tuples of ids that are joined


@dataclass(frozen=True)
class Share:
    """Which part of the work this process has.

    Attributes:
        rank: Number of the process.
        ranks: Processes that share a batch.
        order: Process whose order this is; 0 where all have the same.
    """

    rank: int = 0
    ranks: int = 1
    order: int = 0


class SubEpochs(AbsIterFactory):
    """Batches of each sub-epoch.

    Args:
        dataset: Gives an utterance by its id.
        corpus: Lengths of all utterances.
        regime: Order, limits and schedule of the batches.
        usual: Batch size where the regime has no schedule.
        train: Training order; otherwise sorted by length, the same every time.
        seed: Of the training.
        share: Part of this process in a distributed training.
        num_workers: Loader processes.
        collate_fn: As DataLoader's.
        pin_memory: As DataLoader's.

    Raises:
        OptionError: No utterance is short enough, or no batch can hold one.
    """

    def __init__(
        self,
        dataset: Any,
        corpus: CorpusLengths,
        regime: Regime,
        usual: BatchSize,
        train: bool = True,
        seed: int = 0,
        share: Share = Share(),
        num_workers: int = 0,
        collate_fn: Any = None,
        pin_memory: bool = False,
    ):
        self.dataset = dataset
        self.corpus = corpus
        self.regime = regime
        self.usual = usual
        self.train = train
        self.seed = seed
        self.share = share
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.allowed = usable(corpus, regime, usual)
        self._made: Dict[int, List[Batch]] = {}

    def batch_size(self, epoch: int) -> BatchSize:
        """Size of the batches of a sub-epoch."""
        schedule = self.regime.batch_schedule
        if not self.train and self.regime.batch_schedule_only_training and schedule:
            return schedule[-1]
        return self.regime.batch_size(epoch) or self.usual

    def accum_grad(self, epoch: int) -> int:
        """Batches whose gradients are summed for an update in a sub-epoch."""
        return self.batch_size(epoch).accum_grad

    def _grouped(
        self, order: numpy.ndarray, epoch: int
    ) -> Tuple[List[Tuple[int, ...]], List[int], Optional[List[int]]]:
        """Utterances that form a sequence together, with frames and labels."""
        groups = [(int(number),) for number in order]
        joining = self.regime.concatenation
        if joining is not None and self.train:
            random = ordering.generator_of(self.seed, "data", "join", epoch)
            groups = group_neighbours(order, joining, random)
        corpus = self.corpus
        frames = [int(sum(corpus.frames[n] for n in group)) for group in groups]
        labels = None
        if corpus.labels is not None:
            labels = [int(sum(corpus.labels[n] for n in group)) for group in groups]
        return groups, frames, labels

    def _in_batches(self, order: numpy.ndarray, epoch: int) -> List[List[Any]]:
        groups, frames, labels = self._grouped(order, epoch)
        limits = Limits(self.batch_size(epoch).max_frames, self.regime.max_sequences)
        ids = self.corpus.ids
        names = [tuple(ids[number] for number in group) for group in groups]
        items = [name[0] if len(name) == 1 else name for name in names]
        return in_batches(items, frames, labels, limits)

    def _all_batches(self, epoch: int) -> List[List[Any]]:
        """Batches of a sub-epoch for all processes."""
        duration, parts = self.corpus.duration, self.regime.sub_epochs_per_epoch
        if not self.train:
            order = ordering.sorted_by_length(duration)
            return self._in_batches(order[self.allowed[order]], epoch)
        full = ordering.full_epoch(epoch, parts)
        own = (self.share.order,) if self.share.order else ()
        random = ordering.generator_of(self.seed, "data", full, *own)
        if self.regime.segment_order is None:  # ESPnet's: batches of sorted utterances
            order = ordering.sorted_by_length(duration)
            batches = self._in_batches(order[self.allowed[order]], epoch)
            shuffled = random.permutation(len(batches))
            return [batches[n] for n in ordering.partition(shuffled, epoch, parts)]
        order = ordering.shuffled_sorted_in_chunks(
            duration, self.regime.segments_per_chunk, random
        )
        order = ordering.partition(order, epoch, parts)
        return self._in_batches(order[self.allowed[order]], epoch)

    def batches(self, epoch: int) -> List[Batch]:
        """Utterance ids of this process's batches in a 1-based sub-epoch.

        Raises:
            OptionError: The sub-epoch has no utterance.
        """
        if epoch not in self._made:
            batches = for_all_ranks(self._all_batches(epoch), self.share.ranks)
            if not batches:
                raise OptionError(
                    f"sub-epoch {epoch} has no utterance: {len(self.corpus)} for "
                    f"{self.regime.sub_epochs_per_epoch} sub-epochs",
                    where="regime_conf.sub_epochs_per_epoch",
                    next_step="use fewer sub-epochs",
                )
            share = self.share
            own = [tuple(batch[share.rank :: share.ranks]) for batch in batches]
            self._made = {epoch: own}  # the last one only: ids of a large corpus
            sizes = [len(batch) for batch in own]
            logging.info(
                f"[{'train' if self.train else 'valid'}] sub-epoch {epoch}: "
                f"{sum(sizes)} sequences in {len(own)} batches of "
                f"{min(sizes)} to {max(sizes)}"
            )
        return self._made[epoch]

    def build_iter(
        self, epoch: int, shuffle: Optional[bool] = None, start_batch: int = 0
    ) -> DataLoader:
        """Iterator over the batches of a 1-based sub-epoch.

        Args:
            epoch: The sub-epoch.
            shuffle: ESPnet's argument, without effect: the regime has the order.
            start_batch: Batches at the beginning that are neither loaded nor returned.
        """
        batches = self.batches(epoch)[start_batch:]
        tell_epoch(self.dataset, self.seed, epoch)
        # a generator of its own: DataLoader would draw from torch's default one, and
        # the dropout masks would depend on how often the loader was started
        own = torch.Generator().manual_seed(derived_seed(self.seed, "loader", epoch))
        options = {} if self.collate_fn is None else {"collate_fn": self.collate_fn}
        return DataLoader(
            dataset=JoinedUtterances(self.dataset),
            batch_sampler=batches,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            worker_init_fn=_SeededWorker(epoch + self.seed),
            generator=own,
            **options,
        )


class _SeededWorker:
    """Seeds what ESPnet's own augmentation draws in a loader process."""

    def __init__(self, base_seed: int):
        self.base_seed = base_seed

    def __call__(self, worker: int) -> None:
        worker_init_fn(worker, base_seed=self.base_seed)


def tell_epoch(dataset: Any, seed: int, epoch: int) -> None:
    """Tell a preprocessor that draws random numbers what they depend on."""
    preprocess = getattr(dataset, "preprocess", None)
    if hasattr(preprocess, "set_epoch"):
        preprocess.set_epoch(seed, epoch)


class EpochTeller(AbsIterFactory):
    """ESPnet's own factory, with the preprocessor told which epoch begins.

    Args:
        factory: Has a ``dataset``.
        seed: Of the training.
    """

    def __init__(self, factory: AbsIterFactory, seed: int):
        self.factory = factory
        self.seed = seed

    def build_iter(self, epoch: int, shuffle: Optional[bool] = None):
        """As the factory's."""
        tell_epoch(getattr(self.factory, "dataset", None), self.seed, epoch)
        return self.factory.build_iter(epoch, shuffle)
