"""Which Switchboard utterances are for training and which for selection.

================  =======================  ===================================
split             sets                     selection set
================  =======================  ===================================
``list``          train, dev               the calls of a file
``disjoint``      train, dev               whole calls of speakers who are in no
                                           training call (``selection.py``)
``kaldi``         train_nodup, train_dev   the first 4,000 utterances; a text
                                           occurs at most 300 times in training
``rwth``          train, cv, devtrain      3,000 of 9 % held-out utterances;
                                           devtrain: 3,000 that are trained on
``test_as_cv``    train_select_on_test,    hub5e_00 without unknown words: a
                  dev_select_on_test       selection on a test set
================  =======================  ===================================

With ``kaldi`` and ``rwth`` speakers and calls are in both sets. The embedded corpus
brings a list (``docs/selection_conversations.txt``).

Ref: Kaldi egs/swbd/s5c/run.sh; reference/data.md section 1 (sizes of RWTH's lists; the
lists themselves are not public, so that only the sizes are the same).
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Collection, Dict, Iterable, List, Optional, Tuple

from espnet_ext.corpus.kaldi_dir import Utterance, call_of
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.errors import FormatError

# names of training, selection and further sets
SPLITS: Dict[str, Tuple[str, ...]] = {
    "list": ("train", "dev"),
    "disjoint": ("train", "dev"),
    "kaldi": ("train_nodup", "train_dev"),
    "rwth": ("train", "cv", "devtrain"),
    "test_as_cv": ("train_select_on_test", "dev_select_on_test"),
}
KALDI_DEV_UTTERANCES = 4000
KALDI_MAX_SAME_TEXT = 300
RWTH_CV_UTTERANCES = 3000
# 249,536 segments with words, of which 227,047 are trained on
RWTH_HELD_OUT_SHARE = (249536 - 227047) / 249536


@dataclass(frozen=True)
class Split:
    """Training and selection utterances and further sets, each sorted by id."""

    train: List[Utterance]
    dev: List[Utterance]
    more: Dict[str, List[Utterance]] = field(default_factory=dict)

    def named(self, kind: str) -> Dict[str, List[Utterance]]:
        """The sets under the names that SPLITS gives them, training first."""
        train, dev = SPLITS[kind][:2]
        return {train: self.train, dev: self.dev, **self.more}


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
    return checked(Split(train, dev), "selection list")


def split_like_kaldi(
    utterances: List[Utterance], dev_utterances: Optional[int] = None
) -> Split:
    """The first utterances in order of ids are the selection set."""
    count = KALDI_DEV_UTTERANCES if dev_utterances is None else dev_utterances
    ordered = sorted(utterances, key=lambda u: u.utterance_id)
    split = Split(ordered[count:], ordered[:count])
    return checked(split, f"first {count} utterances as train_dev")


def split_like_rwth(
    utterances: List[Utterance],
    cv_utterances: Optional[int] = None,
    held_out: Optional[int] = None,
) -> Split:
    """Held-out utterances from all over the corpus, the first of them for selection.

    Args:
        cv_utterances: Size of cv and of devtrain; None for 3,000.
        held_out: Utterances that are not trained on; None for RWTH's share of 9 %,
            which leaves 227,047 of 249,536 for training.

    The choice is a fixed pseudo-random order of the utterance ids.
    """
    count = RWTH_CV_UTTERANCES if cv_utterances is None else cv_utterances
    if held_out is None:
        held_out = round(len(utterances) * RWTH_HELD_OUT_SHARE)
    shuffled = sorted(utterances, key=shuffle_key)
    train = shuffled[held_out:]
    split = Split(
        _by_id(train), _by_id(shuffled[:held_out][:count]), {"devtrain": train[:count]}
    )
    split.more["devtrain"] = _by_id(split.more["devtrain"])
    return checked(split, f"{held_out} utterances held out, {count} of them as cv")


def split_on_test(
    utterances: List[Utterance], test_set: Iterable[Utterance], log: PreparationLog
) -> Split:
    """All utterances for training; those of a test set without unknown words select.

    A test set that has selected a model does not measure it any more.
    """
    known = {word for u in utterances for word in u.text.split()}
    dev = []
    for utterance in test_set:
        unknown = sorted(set(utterance.text.split()) - known)
        if unknown:
            log.drop(utterance.utterance_id, "unknown words", " ".join(unknown))
        elif utterance.text:
            dev.append(utterance)
        else:
            log.drop(utterance.utterance_id, "no words")
    return checked(Split(utterances, dev), "test set without unknown words")


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
        same.sort(key=shuffle_key)
        for utterance in same[limit:]:
            surplus.add(utterance.utterance_id)
    for utterance in utterances:
        if utterance.utterance_id in surplus:
            reason = f"text occurs more than {limit} times"
            log.drop(utterance.utterance_id, reason, utterance.text)
    return [u for u in utterances if u.utterance_id not in surplus]


def most_frequent_text(utterances: Iterable[Utterance]) -> Tuple[str, int]:
    """The text that occurs most often, and how often."""
    counts = Counter(utterance.text for utterance in utterances)
    return min(counts.items(), key=lambda item: (-item[1], item[0]))


def overlaps(split: Split) -> Dict[str, List[str]]:
    """``conversation`` and ``speaker``: those that are in train and selection set."""
    keys = {
        "conversation": lambda u: call_of(u.recording_id),
        "speaker": lambda u: u.speaker_id,
    }
    return {
        what: sorted({key(u) for u in split.train} & {key(u) for u in split.dev})
        for what, key in keys.items()
    }


def overlap_warnings(split: Split) -> List[str]:
    """Calls or speakers that are in both sets, as sentences."""
    return [
        f"{len(common)} {what}(s) are in the training and the selection set, first "
        f"{common[0]}: its scores are too good"
        for what, common in overlaps(split).items()
        if common
    ]


def shuffle_key(utterance: Utterance) -> bytes:
    """Sorting by it is a fixed shuffle that does not depend on the other utterances."""
    return hashlib.sha1(utterance.utterance_id.encode()).digest()


def checked(split: Split, where: str) -> Split:
    """The split itself, if both sets hold something.

    Raises:
        FormatError: One of them is empty.
    """
    for name, part in (("training", split.train), ("selection", split.dev)):
        if not part:
            raise FormatError(
                f"the {name} set is empty",
                where=where,
                expected="utterances for both sets",
                next_step="choose another --split, or change --dev_utterances",
            )
    return split


def _by_id(utterances: Iterable[Utterance]) -> List[Utterance]:
    return sorted(utterances, key=lambda u: u.utterance_id)
