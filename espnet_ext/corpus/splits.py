"""Which Switchboard utterances are for training and which for selection.

- ``list``: the calls of a file are the selection set. The embedded corpus brings such
  a list (``docs/selection_conversations.txt``), made so that no voice is in both.
- ``kaldi``: the first 4,000 utterances in order of their ids are the selection set, and
  a text occurs at most 300 times in training. Speakers may be in both.
"""

import hashlib
from collections import defaultdict
from typing import Collection, Dict, List, NamedTuple, Optional

from espnet_ext.corpus.kaldi_dir import Utterance, call_of
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.errors import FormatError

KALDI_DEV_UTTERANCES = 4000
KALDI_MAX_SAME_TEXT = 300


class Split(NamedTuple):
    """Training and selection utterances, each sorted by id."""

    train: List[Utterance]
    dev: List[Utterance]


def split_by_calls(utterances: List[Utterance], dev_calls: Collection[str]) -> Split:
    """Calls on the list are the selection set.

    Raises:
        FormatError: A listed call has no utterance, or nothing is left to train on.
    """
    wanted = set(dev_calls)
    absent = wanted.difference(call_of(u.recording_id) for u in utterances)
    if absent:
        raise FormatError(
            f"{len(absent)} listed conversation(s) have no utterance, first "
            f"{min(absent)}",
            where="selection list",
            expected="conversations of this release",
        )
    dev = [u for u in utterances if call_of(u.recording_id) in wanted]
    train = [u for u in utterances if call_of(u.recording_id) not in wanted]
    return _checked(Split(train, dev), "selection list")


def split_like_kaldi(
    utterances: List[Utterance], dev_utterances: int = KALDI_DEV_UTTERANCES
) -> Split:
    """The first utterances in order of ids are the selection set."""
    ordered = sorted(utterances, key=lambda u: u.utterance_id)
    split = Split(ordered[dev_utterances:], ordered[:dev_utterances])
    return _checked(split, f"first {dev_utterances} utterances as dev")


def limit_same_text(
    utterances: List[Utterance], limit: Optional[int], log: PreparationLog
) -> List[Utterance]:
    """At most ``limit`` utterances with the same text; None keeps all.

    Which ones stay is a fixed pseudo-random choice by utterance id, so that they come
    from all over the corpus (Kaldi's own choice is another one, of the same number).
    """
    if limit is None:
        return utterances
    by_text: Dict[str, List[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_text[utterance.text].append(utterance)
    surplus = set()
    for same in by_text.values():
        same.sort(key=lambda u: hashlib.sha1(u.utterance_id.encode()).digest())
        for utterance in same[limit:]:
            surplus.add(utterance.utterance_id)
    for utterance in utterances:
        if utterance.utterance_id in surplus:
            reason = f"text occurs more than {limit} times"
            log.drop(utterance.utterance_id, reason, utterance.text)
    return [u for u in utterances if u.utterance_id not in surplus]


def overlap_warnings(split: Split) -> List[str]:
    """Calls or speakers that are in both sets, as sentences."""
    warnings = []
    for what, key in (
        ("conversation", lambda u: call_of(u.recording_id)),
        ("speaker", lambda u: u.speaker_id),
    ):
        common = {key(u) for u in split.train} & {key(u) for u in split.dev}
        if common:
            warnings.append(
                f"{len(common)} {what}(s) are in train and dev, first {min(common)}: "
                "dev scores are too good"
            )
    return warnings


def _checked(split: Split, where: str) -> Split:
    for name, part in zip(split._fields, split):
        if not part:
            raise FormatError(
                f"the set {name} is empty",
                where=where,
                expected="utterances for both sets",
                next_step="change the selection list, or --dev_utterances",
            )
    return split
