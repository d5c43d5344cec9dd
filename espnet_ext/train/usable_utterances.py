"""Which utterances a training can use, and errors where there is none.

Source: reference/training.md 1 (limit on the labels).
"""

import logging

import numpy

from espnet_ext.errors import OptionError
from espnet_ext.train.corpus_lengths import CorpusLengths
from espnet_ext.train.regime import BatchSize, Regime

SHOWN_IDS = 5


def usable(corpus: CorpusLengths, regime: Regime, usual: BatchSize) -> numpy.ndarray:
    """Whether each utterance has a frame and not too many labels.

    Args:
        corpus: Lengths.
        regime: Has the limits.
        usual: Batch size where the regime has no schedule.

    Raises:
        OptionError: No utterance is left, or no batch can hold one.
    """
    usable_N = _with_frames(corpus)
    if regime.max_labels is not None:
        usable_N = usable_N & _with_few_labels(corpus, usable_N, regime.max_labels)
    shortest = int(corpus.frames[usable_N].min())
    for size in regime.batch_schedule or (usual,):
        if size.max_frames < shortest:
            schedule = "regime_conf.batch_schedule"
            raise OptionError(
                f"batches of {size.max_frames} frames (10 ms) cannot hold one "
                f"utterance: the shortest has {shortest}",
                where=schedule if regime.batch_schedule else "batch_bins",
                next_step="increase it, 10000 frames are usual",
            )
    return usable_N


def _with_frames(corpus: CorpusLengths) -> numpy.ndarray:
    with_frames = corpus.frames > 0
    empty = [corpus.ids[n] for n in numpy.flatnonzero(~with_frames)]
    if len(empty) == len(corpus):
        raise OptionError(
            "no utterance has a frame",
            where="speech_shape",
            next_step="compare frontend_conf.fs with the audio, run stage 10 again",
        )
    if empty:
        more = " ..." if len(empty) > SHOWN_IDS else ""
        logging.warning(
            f"{len(empty)} utterances are too short for one frame and left out: "
            f"{' '.join(empty[:SHOWN_IDS])}{more}"
        )
    return with_frames


def _with_few_labels(
    corpus: CorpusLengths, with_frames: numpy.ndarray, limit: int
) -> numpy.ndarray:
    if corpus.labels is None:
        raise OptionError(
            "regime_conf.max_labels needs the lengths of the texts",
            expected="two shape files: of speech and of text",
        )
    few = corpus.labels <= limit
    if not (few & with_frames).any():
        fewest = int(corpus.labels[with_frames].min())
        raise OptionError(
            f"all {int(with_frames.sum())} utterances have more than {limit} labels, "
            f"the shortest {fewest}",
            where="regime_conf.max_labels",
            next_step=f"max_labels: {fewest} or more, or null",
        )
    if not few.all():
        logging.info(
            f"{int((~few).sum())} utterances with more than {limit} labels left out"
        )
    return few
