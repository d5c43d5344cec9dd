"""What the task does to get batches by ``regime_conf``."""

import argparse
import logging
from typing import Any, Dict, Optional

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train.distributed_utils import DistributedOption

from espnet_ext.errors import OptionError
from espnet_ext.train.corpus_lengths import FrameCounter, read_lengths
from espnet_ext.train.regime import BatchSize, Regime
from espnet_ext.train.sub_epochs import EpochTeller, Share, SubEpochs


def frame_counter(args: argparse.Namespace) -> FrameCounter:
    """Counter of the frames that the configuration's frontend makes."""
    from espnet2.tasks.asr import frontend_choices

    if getattr(args, "input_size", None) is not None:
        return FrameCounter(None, 0)  # features are read
    options = dict(args.frontend_conf or {})
    frontend = frontend_choices.get_class(args.frontend)(**options)
    return FrameCounter(frontend, sample_rate_of(options.get("fs", 16000)))


def sample_rate_of(value: Any) -> int:
    """8000, "8k" or "8000" in Hz."""
    text = str(value).lower()
    return round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))


def usual_size(
    regime: Regime, args: argparse.Namespace, batch_bins: int, counter: FrameCounter
) -> BatchSize:
    """The batch size of ESPnet's options: ``batch_bins`` holds samples."""
    frames = int(batch_bins / counter.samples_per_frame)
    return BatchSize(1, max(frames, 1), args.accum_grad)


def share_of(regime: Regime, distributed: bool, train: bool) -> Share:
    """This process's part of the data."""
    if not distributed:
        return Share()
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    multi = regime.multi_gpu
    if train and multi is not None and multi.data == "shuffled_per_process":
        return Share(order=rank)  # all data, in an order of its own
    return Share(rank, ranks)


def _without_effect(
    args: argparse.Namespace, regime: Regime, mode: str
) -> Optional[str]:
    """An option of ESPnet's iterators that was set and would be ignored."""
    usual: Dict[str, Any] = {"iterator_type": "sequence", "shuffle_within_batch": False}
    if mode == "train":
        usual["num_iters_per_epoch"] = None
    elif regime.batch_schedule:
        usual["valid_batch_bins"] = None
    if args.drop_last_iter:
        return "drop_last_iter"
    return next((k for k, v in usual.items() if getattr(args, k, v) != v), None)


def build_sub_epochs(
    task: Any,
    args: argparse.Namespace,
    distributed_option: DistributedOption,
    mode: str,
    regime: Regime,
    overrides: Optional[dict] = None,
) -> SubEpochs:
    """The factory of training or validation batches.

    Raises:
        OptionError: No utterance fits, an option of ESPnet's batches would be ignored,
            or a cache would freeze what is random.
    """
    options = task.build_iter_options(args, distributed_option, mode)
    for name, value in (overrides or {}).items():
        setattr(options, name, value)
    if train_option := _without_effect(args, regime, mode):
        raise OptionError(
            f"{train_option} has no effect where regime_conf forms the batches",
            where=train_option,
            next_step=f"remove {train_option}, or order and batches from regime_conf",
        )
    refuse_cache(options.preprocess_fn, args)
    counter = frame_counter(args)
    corpus = read_lengths(options.shape_files, counter)
    dataset = task.build_dataset(args, options, set(corpus.ids))
    logging.info(f"[{mode}] dataset:\n{dataset}")
    return SubEpochs(
        dataset=dataset,
        corpus=corpus,
        regime=regime,
        usual=usual_size(regime, args, options.batch_bins, counter),
        train=options.train,
        seed=args.seed,
        share=share_of(regime, options.distributed, options.train),
        num_workers=args.num_workers,
        collate_fn=options.collate_fn,
        pin_memory=args.ngpu > 0,
    )


def refuse_cache(preprocess: Any, args: argparse.Namespace) -> None:
    """Refuse a cache of utterances whose preprocessor draws random numbers.

    Raises:
        OptionError: There is one.
    """
    if hasattr(preprocess, "set_epoch") and args.max_cache_size not in (0, 0.0, "0"):
        raise OptionError(
            "a cache would keep what the preprocessor drew in the first epoch",
            where="max_cache_size",
            next_step="max_cache_size: 0",
        )


def told_epochs(factory: AbsIterFactory, args: argparse.Namespace) -> AbsIterFactory:
    """ESPnet's factory; wrapped if its preprocessor has to know the epoch.

    Raises:
        OptionError: A cache would freeze what is random.
    """
    preprocess = getattr(getattr(factory, "dataset", None), "preprocess", None)
    if not hasattr(preprocess, "set_epoch"):
        return factory
    refuse_cache(preprocess, args)
    return EpochTeller(factory, args.seed)
