"""Groups of prompts that share a phrase, and a split that keeps each group together.

Many prompts repeat long phrases ("followed by the pound key"). If one of them were in
training and another in test, the test would measure memory.
"""

import hashlib
from collections import defaultdict
from typing import Dict, List, Mapping, Sequence, Set

PHRASE_WORDS = 4
SENTENCE_WORDS = 3  # shorter groups are single items: digits, letters, names
SHARES = {"test": 0.2, "dev": 0.1}  # of the audio of all groups that may be held out
LARGE_GROUP = 0.05  # of all audio: too large to be held out


def group_by_phrase(
    texts: Mapping[str, str], phrase_words: int = PHRASE_WORDS
) -> List[List[str]]:
    """Keys of texts that share a phrase, directly or through others.

    Args:
        texts: Key -> words separated by blanks.
        phrase_words: Length of a phrase. Equal texts share whatever their length.

    Returns:
        Groups, each sorted; in order of their first keys.
    """
    parent = {key: key for key in texts}

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first_with: Dict[object, str] = {}
    for key in sorted(texts):
        for phrase in phrases(texts[key], phrase_words):
            parent[find(key)] = find(first_with.setdefault(phrase, key))
    groups = defaultdict(list)
    for key in sorted(texts):
        groups[find(key)].append(key)
    return sorted(groups.values())


def phrases(text: str, length: int = PHRASE_WORDS) -> Set[Sequence[str]]:
    """All runs of ``length`` words, and the whole text if it is shorter."""
    words = text.split()
    if len(words) < length:
        return {tuple(words)}
    return {
        tuple(words[start : start + length]) for start in range(len(words) - length + 1)
    }


def split_groups(
    groups: Sequence[Sequence[str]],
    texts: Mapping[str, str],
    durations_s: Mapping[str, float],
) -> Dict[str, List[str]]:
    """Deal groups to train, dev and test by a checksum of their texts.

    Groups of single items and very large groups are always for training: an item
    occurs once, so that in a test it would be a word that nobody could have learned.

    Returns:
        Set name -> sorted keys.
    """
    total = sum(durations_s[key] for group in groups for key in group)
    held_out = [
        group
        for group in groups
        if max(len(texts[key].split()) for key in group) >= SENTENCE_WORDS
        and sum(durations_s[key] for key in group) <= LARGE_GROUP * total
    ]
    held_out.sort(key=lambda group: _checksum(texts[key] for key in group))
    available = sum(durations_s[key] for group in held_out for key in group)
    sets: Dict[str, List[str]] = {"train": [], "dev": [], "test": []}
    taken: Set[str] = set()
    remaining = list(held_out)
    for name, share in SHARES.items():
        amount = 0.0
        while remaining and amount < share * available:
            group = remaining.pop(0)
            sets[name] += group
            taken.update(group)
            amount += sum(durations_s[key] for key in group)
    sets["train"] = [key for group in groups for key in group if key not in taken]
    return {name: sorted(keys) for name, keys in sets.items()}


def _checksum(texts) -> str:
    return hashlib.sha1("\n".join(sorted(texts)).encode()).hexdigest()
