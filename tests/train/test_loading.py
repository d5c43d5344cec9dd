"""Batches: the same for any number of workers, and from any batch on."""

import random

import numpy as np
import pytest
import torch
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory

from espnet_ext.tasks.asr import TransducerTask
from espnet_ext.train.loading import SubEpochBatches
from tests.train.tiny_training import words, write_config


class NoisyDataset:
    """Draws from every global generator, as other people's preprocessors do."""

    def __getitem__(self, key):
        draws = [np.random.rand(), random.random(), float(torch.rand(()))]
        return key, {"speech": np.array([len(key), *draws], dtype=np.float64)}


def collate(items):
    return [key for key, _ in items], {
        "speech": torch.from_numpy(np.stack([data["speech"] for _, data in items]))
    }


def factory(num_workers: int):
    batches = [[f"u{n}", f"v{n}"] for n in range(6)]
    return SequenceIterFactory(
        NoisyDataset(),
        batches,
        seed=3,
        shuffle=True,
        num_workers=num_workers,
        collate_fn=collate,
    )


def drawn(epoch: int, start: int = 0, num_workers: int = 0):
    batches = SubEpochBatches(factory(num_workers), epoch, start, seed=3)
    assert batches.total == 6
    return [(ids, batch["speech"].tolist()) for ids, batch in batches]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 4])
def test_any_number_of_workers_gives_the_same_batches(num_workers):
    assert drawn(1, num_workers=num_workers) == drawn(1)


def test_sub_epochs_and_utterances_differ():
    first, second = drawn(1), drawn(2)
    values = [tuple(row[1:]) for _, rows in [*first, *second] for row in rows]
    assert len(set(values)) == 24


@pytest.mark.parametrize("start", [0, 2, 6])
def test_the_batches_from_the_middle_on_are_those_of_the_whole(start):
    assert drawn(1, start) == drawn(1)[start:]


def test_loading_draws_nothing_from_the_global_generators():
    states = [random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()]
    drawn(1)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_an_iterator_without_a_list_of_batches_is_skipped_by_consuming():
    class Counting:
        def build_iter(self, epoch):
            return ((f"{epoch}.{number}", {}) for number in range(4))

    left = SubEpochBatches(Counting(), 2, 3, seed=0)
    assert [name for name, _ in left] == ["2.3"] and left.total is None


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 4])
def test_workers_change_nothing_in_the_batches_of_a_regime(
    tiny_data, tmp_path, num_workers
):
    """The factory of ``regime_conf`` as the task builds it, with augmentation."""
    regime = {
        "segment_order": "shuffled_sorted_in_chunks",
        "segments_per_chunk": 4,
        "sub_epochs_per_epoch": 2,
        "batch_schedule": [{"from_epoch": 1, "max_frames": 60}],
    }
    config = write_config(tmp_path / "config.yaml", regime_conf=regime)
    seen = []
    for workers in (0, num_workers):
        command = words(tiny_data, tmp_path / "exp", "--config", str(config))
        args = TransducerTask.get_parser().parse_args(
            [*command, "--num_workers", str(workers)]
        )
        args.token_list = (tiny_data / "tokens.txt").read_text().split()
        one = TransducerTask.build_iter_factory(
            args, distributed_option=NotDistributed, mode="train"
        )
        batches = [b for e in (1, 2) for b in SubEpochBatches(one, e, 0, args.seed)]
        seen.append(batches)
    assert len(seen[0]) == len(seen[1]) > 3
    for (ids, batch), (other_ids, other) in zip(*seen):
        assert ids == other_ids
        assert all(torch.equal(batch[name], other[name]) for name in batch)


class NotDistributed:
    distributed = False
