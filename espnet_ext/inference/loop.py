"""Decodes utterances one by one or in batches; a failure costs one utterance.

What fails is named with its reason, and the command ends with an error unless that many
failures are allowed, so that no utterance is silently empty.
"""

import logging
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.inference.results import FAILED, Results
from espnet_ext.progress import report

SHOWN = 5
REPORTS = 200
Batch = List[Tuple[str, np.ndarray]]


class Decoded(NamedTuple):
    """How much was decoded: utterances, seconds of work and number of samples."""

    utterances: int
    seconds: float
    samples: int


def decode_all(
    keys: Sequence[str],
    load: Callable[[str], np.ndarray],
    decode: Callable[[List[np.ndarray], List[str]], List[Tuple[Any, Any]]],
    results: Results,
    batch_size: int = 1,
    rate_hz: int = 0,
) -> Decoded:
    """Decode all utterances.

    Args:
        keys: Utterance ids.
        load: Samples of an utterance.
        decode: N-best list and words (or None) of each of several utterances, given
            with their ids.
        results: Takes them.
        batch_size: Utterances given to ``decode`` at once.
        rate_hz: Sampling rate, for the real-time factor; 0 for unknown.
    """
    done, samples, seconds = 0, 0, 0.0
    for first in range(0, len(keys), batch_size):
        batch: Batch = []
        for key in keys[first : first + batch_size]:
            try:
                batch.append((key, load(key)))
            except Exception as error:  # whatever a broken file makes readers raise
                _failed(results, key, error)
        began = time.monotonic()
        _decode_batch(batch, decode, results)
        seconds += time.monotonic() - began
        samples += sum(len(speech) for _, speech in batch)
        done += len(keys[first : first + batch_size])
        if done * REPORTS // len(keys) != first * REPORTS // len(keys):
            factor = seconds * rate_hz / samples if samples and rate_hz else 0.0
            report(done, len(keys), f"RTF {factor:.3f}" if factor else "")
    return Decoded(len(keys), seconds, samples)


def _decode_batch(batch: Batch, decode, results: Results) -> None:
    """Decode a batch; if it fails, its utterances one by one."""
    if not batch:
        return
    for _, speech in batch:
        logging.info(f"speech length: {len(speech)}")
    try:
        decoded = decode([speech for _, speech in batch], [key for key, _ in batch])
    except Exception as error:  # the cause is one utterance, or its reason is shown
        if len(batch) == 1:
            _failed(results, batch[0][0], error)
            return
        logging.warning(f"a batch failed ({error}): its utterances one by one")
        for pair in batch:
            _decode_batch([pair], decode, results)
        return
    for (key, _), (nbest, words) in zip(batch, decoded):
        results.add(key, nbest, words)
        logging.info(f"best hypo: {key} {' '.join(nbest[0][1])}")


def _failed(results: Results, key: str, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"
    logging.exception(f"{key} could not be decoded: {reason}")
    results.fail(key, reason)


def check_failures(results: Results, allowed: int) -> None:
    """Make failures an error.

    Raises:
        FormatError: More utterances failed than allowed; names them with reasons.
    """
    failed: Dict[str, str] = results.failed
    if len(failed) <= allowed:
        return
    shown = [f"{key} ({failed[key]})" for key in list(failed)[:SHOWN]]
    more = f" ... ({len(failed)} in all)" if len(failed) > SHOWN else ""
    raise FormatError(
        f"could not be decoded: {'; '.join(shown)}{more}",
        where=results.folder / FAILED,
        expected=f"at most {allowed} utterances that fail (--max_failures)",
        next_step="correct or remove them, or allow that many",
    )
