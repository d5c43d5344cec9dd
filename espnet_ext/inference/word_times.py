"""When the words of a time-synchronous hypothesis were emitted, and how sure they are.

A label of an RNA path lies on one encoder frame. A word begins with the frame of its
first label and ends after that of its last one; frame j stands for the audio from
j * shift to (j + 1) * shift. A model is free to emit a label later than it is spoken,
by as much as its encoder sees, so these are times of the decision, not a forced
alignment.

A word's confidence is its posterior: the summed probabilities of those hypotheses of
the beam that have the same word at the same place of a word alignment with the best.
With a beam of one it says nothing and is 1.
"""

import math
from typing import List, NamedTuple, Sequence

from rapidfuzz.distance import Levenshtein

BPE_BEGIN = "▁"
SPACE = "<space>"
NMT_GOES_ON = "@@"


class TimedWord(NamedTuple):
    """A word with its start and duration in seconds and its confidence."""

    word: str
    start: float
    duration: float
    confidence: float


def words_of(tokens: Sequence[str], token_type: str) -> List[List[int]]:
    """For each word, the positions of its tokens.

    Args:
        tokens: Tokens of a hypothesis.
        token_type: ``bpe`` (sentencepiece), ``char``, or ``word``, whose tokens go on
            in the next one where they end in ``@@``.
    """
    groups: List[List[int]] = []
    begin = True
    for position, token in enumerate(tokens):
        if token_type == "char" and token == SPACE:
            begin = True
            continue
        if token_type == "bpe":
            begin = token.startswith(BPE_BEGIN) or not groups
        if begin:
            groups.append([])
        groups[-1].append(position)
        begin = token_type == "word" and not token.endswith(NMT_GOES_ON)
    return groups


def spelled(tokens: Sequence[str], token_type: str) -> str:
    """The word that tokens spell."""
    if token_type == "bpe":
        return "".join(tokens).removeprefix(BPE_BEGIN)
    if token_type == "word":
        return "".join(token.removesuffix(NMT_GOES_ON) for token in tokens)
    return "".join(tokens)


def emission_frames(symbols: Sequence[int], blank: int = 0) -> List[int]:
    """Frame of each label of a path with one symbol a frame."""
    return [frame for frame, symbol in enumerate(symbols) if symbol != blank]


def confidences(
    hypotheses: Sequence[List[str]], scores: Sequence[float]
) -> List[float]:
    """Posterior of each word of the first hypothesis.

    Args:
        hypotheses: Words of each entry of the beam, best first.
        scores: Log scores of the entries.
    """
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    total = math.fsum(weights)
    best = hypotheses[0]
    sums = [0.0] * len(best)
    for words, weight in zip(hypotheses, weights):
        changed = set()
        for tag, start, end, _, _ in Levenshtein.opcodes(best, words):
            if tag != "equal":
                changed.update(range(start, end))
        for position in range(len(best)):
            if position not in changed:
                sums[position] += weight
    return [value / total for value in sums]


def timed_words(
    tokens: Sequence[str],
    frames: Sequence[int],
    shift_s: float,
    token_type: str,
    posteriors: Sequence[float],
) -> List[TimedWord]:
    """Words of a hypothesis with times.

    Args:
        tokens: Its tokens.
        frames: Encoder frame of each token.
        shift_s: Seconds from one encoder frame to the next.
        token_type: See words_of.
        posteriors: Confidence of each word.
    """
    words = []
    for positions, posterior in zip(words_of(tokens, token_type), posteriors):
        first, last = frames[positions[0]], frames[positions[-1]]
        words.append(
            TimedWord(
                spelled([tokens[p] for p in positions], token_type),
                first * shift_s,
                (last + 1 - first) * shift_s,
                posterior,
            )
        )
    return words
