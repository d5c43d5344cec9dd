"""Utterances in batches of similar length; one bad one never stops the others."""

# Dimensions: B batch, L labels
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
)

import numpy as np
import torch

WINDOW_SAMPLES = 1 << 24  # 64 MB are read ahead and sorted by length
Load = Callable[[str], Dict[str, np.ndarray]]


class Batch(NamedTuple):
    """Padded utterances; lengths as ESPnet's models take them."""

    ids: List[str]
    speech: torch.Tensor
    speech_lengths: torch.Tensor
    text: torch.Tensor
    text_lengths: torch.Tensor


class Utterance(NamedTuple):
    """Samples or features of one utterance, and its token ids."""

    id: str
    speech: np.ndarray
    labels: np.ndarray


def collate(utterances: Sequence[Utterance]) -> Batch:
    """One batch, padded with zeros and with label -1."""

    def padded(arrays, value):
        tensors = [torch.as_tensor(x) for x in arrays]
        return torch.nn.utils.rnn.pad_sequence(tensors, True, value)

    speech = [u.speech for u in utterances]
    text = [np.asarray(u.labels, dtype=np.int64) for u in utterances]
    return Batch(
        [u.id for u in utterances],
        padded(speech, 0.0),
        torch.tensor([len(x) for x in speech]),
        padded(text, -1),
        torch.tensor([len(x) for x in text]),
    )


def batches(
    ids: Iterable[str],
    load: Load,
    batch_samples: int,
    failed: Dict[str, str],
    window: int = WINDOW_SAMPLES,
) -> Iterator[List[Utterance]]:
    """Groups of at most ``batch_samples`` padded samples, or of one utterance.

    Args:
        ids: Utterance ids, read in this order.
        load: Data of an utterance: ``speech`` and ``text`` (token ids).
        batch_samples: Largest number of utterances times longest length.
        failed: Gets the reason of each utterance that cannot be read.
        window: So many samples are sorted at a time.
    """
    waiting: List[Utterance] = []
    samples = 0
    for key in ids:
        utterance = _read(key, load, failed)
        if utterance is None:
            continue
        waiting.append(utterance)
        samples += len(utterance.speech)
        if samples >= window:
            yield from _groups(waiting, batch_samples)
            waiting, samples = [], 0
    yield from _groups(waiting, batch_samples)


def _read(key: str, load: Load, failed: Dict[str, str]) -> Optional[Utterance]:
    try:
        data = load(key)
        utterance = Utterance(key, data["speech"], data["text"])
    except Exception as error:  # whatever audio libraries raise; the id is reported
        failed[key] = f"cannot be read: {type(error).__name__}: {error}"
        return None
    if len(utterance.speech) == 0:
        failed[key] = "cannot be read: it has no samples"
        return None
    return utterance


def _groups(utterances: List[Utterance], most: int) -> Iterator[List[Utterance]]:
    group: List[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: (-len(u.speech), u.id)):
        longest = len(group[0].speech) if group else 0
        if group and (len(group) + 1) * longest > most:
            yield group
            group = []
        group.append(utterance)
    if group:
        yield group
