"""A selection set that shares no speaker and no call with the training set.

Switchboard's callers have talked to many others, so that no cut through the calls
separates the speakers. Chosen speakers give all their calls to the selection set; the
other sides of these calls are lost unless their speakers are chosen as well. Speakers
with the fewest calls are taken first, so that the set has many of them, and among these
the ones who have talked to chosen ones, who lose the least.
"""

import hashlib
from collections import defaultdict
from typing import Dict, Iterator, List, Optional, Set, Tuple

from espnet_ext.corpus.kaldi_dir import Utterance, call_of
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.splits import Split, checked

DEV_UTTERANCES = 4000
OTHER_SIDE = "other side of a call of the selection set"


def split_disjoint(
    utterances: List[Utterance],
    log: PreparationLog,
    dev_utterances: Optional[int] = None,
) -> Split:
    """Speakers for selection until their utterances are enough.

    Args:
        dev_utterances: The least size of the selection set; None for 4,000.

    Sides whose caller is not in the table may belong to anybody. They are never chosen;
    if no caller is known at all, each side counts as a speaker.

    Raises:
        FormatError: Nothing is left for one of the sets.
    """
    wanted = DEV_UTTERANCES if dev_utterances is None else dev_utterances
    speaker_of = {u.recording_id: u.speaker_id for u in utterances}
    size: Dict[str, int] = defaultdict(int)
    for utterance in utterances:
        size[utterance.speaker_id] += 1
    chosen: Set[str] = set()
    found = 0
    for speaker in _in_order(speaker_of, chosen):
        if found >= wanted:
            break
        chosen.add(speaker)
        found += size[speaker]
    dev = [u for u in utterances if u.speaker_id in chosen]
    calls = {call_of(u.recording_id) for u in dev}
    train, lost = [], defaultdict(int)
    for utterance in utterances:
        if utterance.speaker_id in chosen:
            continue
        if call_of(utterance.recording_id) in calls:
            lost[utterance.recording_id] += 1
        else:
            train.append(utterance)
    for side, count in sorted(lost.items()):
        log.drop(side, OTHER_SIDE, f"{count} utterances")
    return checked(Split(train, dev), f"disjoint, {wanted} utterances or more as dev")


def _in_order(speaker_of: Dict[str, str], chosen: Set[str]) -> Iterator[str]:
    """Yield speakers; after each the caller adds it to ``chosen``."""
    sides_of: Dict[str, List[str]] = defaultdict(list)
    others: Dict[str, List[str]] = defaultdict(list)
    by_call: Dict[str, List[str]] = defaultdict(list)
    for side in speaker_of:
        by_call[call_of(side)].append(side)
    for sides in by_call.values():
        for side in sides:
            sides_of[speaker_of[side]].append(side)
            others[speaker_of[side]] += [speaker_of[s] for s in sides if s != side]
    known = {s for s, sides in sides_of.items() if s not in sides}
    candidates = known or set(sides_of)

    def order(speaker: str) -> Tuple[int, int, bytes]:
        """Sides gained; then sides lost; then a fixed shuffle."""
        saved = sum(other in chosen for other in others[speaker])
        lost = len(others[speaker]) - 2 * saved
        shuffle = hashlib.sha1(speaker.encode()).digest()
        return len(sides_of[speaker]), lost, shuffle

    while candidates:
        speaker = min(candidates, key=order)
        candidates.remove(speaker)
        yield speaker
