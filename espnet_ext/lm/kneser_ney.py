"""Interpolated modified Kneser-Ney estimation of n-grams.

    p(w | c) = (a(c w) - D(a(c w))) / sum_v a(c v)  +  g(c) p(w | c')
    g(c)     = (D1 N1(c) + D2 N2(c) + D3 N3+(c)) / sum_v a(c v)

``c'`` is c without its first word; below the unigrams lies the uniform distribution
over all words but ``<s>``, so unseen words and ``<unk>`` get their share. ``a`` is the
count in the highest order. In lower orders it is the number of different words seen
before the n-gram; n-grams that begin with ``<s>`` have none there and keep their count.

Each order has its discounts, from the numbers n_j of n-grams with a = j:
Y = n1 / (n1 + 2 n2), D_j = j - (j + 1) Y n_{j+1} / n_j for j = 1, 2 and 3 or more.
On small texts one of n1 ... n4 may be 0 or a discount outside (0, j]; then that order
takes 0.5, 1 and 1.5.

Ref: Chen and Goodman, 1999, section 3 and equations 26; Heafield et al., 2013, for the
treatment of sentence begins and the fallback.
"""

from typing import Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.lm.ngram import BOS, EOS, UNK, NgramModel

FALLBACK = (0.5, 1.0, 1.5)
# a probability of zero as ARPA files write it, for <s>, which is never predicted
LOG_ZERO = -99.0 * np.log(10.0)


class Discounts(NamedTuple):
    """D1, D2 and D3+ of one order, and whether they are the fallback."""

    values: Tuple[float, float, float]
    fallback: bool


class _Order(NamedTuple):
    """The different n-grams of one order; numbers count within an order."""

    parent: np.ndarray  # n-gram without its last word, in the order below
    word: np.ndarray  # last word
    suffix: np.ndarray  # n-gram without its first word, in the order below
    count: np.ndarray  # how often it occurs
    begins: np.ndarray  # whether its first word is <s>


def vocabulary(tokens: Iterable[str]) -> List[str]:
    """``<unk>``, ``<s>``, ``</s>``, then the other tokens in their order."""
    special = [UNK, BOS, EOS]
    return special + [t for t in dict.fromkeys(tokens) if t not in special]


def estimate(
    sentences: Iterable[Sequence[int]], words: Sequence[str], order: int
) -> Tuple[NgramModel, List[Discounts]]:
    """Estimate a model and say which discounts it uses.

    Args:
        sentences: Word ids without ``<s>`` and ``</s>``.
        words: As ``vocabulary`` makes it; every one gets a probability.
        order: Length of the longest n-grams.

    Raises:
        FormatError: There is no sentence.
    """
    if order < 1:
        raise ValueError(f"order {order}: expected at least 1")
    orders = _collect(sentences, words, order)
    discounts, log_probs, gammas = [], [], []
    prob = np.full(len(words), 1.0 / (len(words) - 1))  # of the order below
    for number, ngrams in enumerate(orders):
        adjusted = _adjusted(orders, number)
        chosen = discounts_of(adjusted)
        discounts.append(chosen)
        size = 1 if number == 0 else len(orders[number - 1].word)
        cut = np.array([0.0, *chosen.values])[np.minimum(adjusted, 3)]
        total = np.bincount(ngrams.parent, weights=adjusted, minlength=size)
        removed = np.bincount(ngrams.parent, weights=cut, minlength=size)
        # an n-gram that nothing follows passes its whole mass on
        gamma = np.divide(removed, total, out=np.ones(size), where=total > 0)
        lower = prob[ngrams.suffix] if number else prob
        prob = (adjusted - cut) / total[ngrams.parent] + gamma[ngrams.parent] * lower
        log_probs.append(np.log(prob))
        gammas.append(np.log(gamma))
    log_probs[0][words.index(BOS)] = LOG_ZERO
    return _assembled(words, orders, log_probs, gammas), discounts


def _collect(
    sentences: Iterable[Sequence[int]], words: Sequence[str], order: int
) -> List[_Order]:
    """Count n-grams of all orders; an n-gram is its parent's number and its last word.

    So each order needs one sort of 64-bit numbers, whatever the order.
    """
    bos, eos = words.index(BOS), words.index(EOS)
    parts = [np.array([bos, *sentence, eos], dtype=np.int64) for sentence in sentences]
    if not parts:
        raise FormatError("there is no sentence to count n-grams in")
    stream = np.concatenate(parts)
    position = np.concatenate([np.arange(len(part)) for part in parts])
    here = stream  # number of the n-gram that ends at each place
    none = np.zeros(len(words), dtype=np.int64)
    every = np.arange(len(words))
    counts = np.bincount(stream, minlength=len(words))
    orders = [_Order(none, every, none, counts, every == bos)]
    for length in range(2, order + 1):
        ends = np.flatnonzero(position >= length - 1)
        keys = here[ends - 1] * len(words) + stream[ends]
        different, first, inverse, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        parent, word = np.divmod(different, len(words))
        suffix = here[ends[first]]
        begins = orders[-1].begins[parent]
        orders.append(_Order(parent, word, suffix, counts, begins))
        here = np.full(len(stream), -1, dtype=np.int64)
        here[ends] = inverse
    return orders


def _adjusted(orders: Sequence[_Order], number: int) -> np.ndarray:
    ngrams = orders[number]
    counts = ngrams.count
    if number + 1 < len(orders):
        before = np.bincount(orders[number + 1].suffix, minlength=len(counts))
        counts = np.where(ngrams.begins, counts, before)
    if number == 0:
        counts = np.where(ngrams.begins, 0, counts)  # <s> is never predicted
    return counts


def discounts_of(counts: np.ndarray) -> Discounts:
    """D1, D2 and D3+ from the (adjusted) counts of an order's n-grams."""
    n1, n2, n3, n4 = (int((counts == j).sum()) for j in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) == 0:
        return Discounts(FALLBACK, True)
    y = n1 / (n1 + 2 * n2)
    values = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    if not all(0 < value <= j for j, value in enumerate(values, start=1)):
        return Discounts(FALLBACK, True)
    return Discounts(values, False)


def _assembled(words, orders, log_probs, gammas) -> NgramModel:
    """Number the n-grams of all orders through, after the root."""
    starts = np.cumsum([1, *(len(ngrams.word) for ngrams in orders)])
    zero = np.zeros(1, dtype=np.int64)
    # numbers of the order below; for unigrams that is the root alone
    below = [0, *starts[:-2]]
    parents = [ngrams.parent + base for ngrams, base in zip(orders, below)]
    suffixes = [ngrams.suffix + base for ngrams, base in zip(orders, below)]
    last = np.zeros(len(orders[-1].word))
    return NgramModel(
        words,
        starts.tolist(),
        np.concatenate([zero, *parents]),
        np.concatenate([zero, *(ngrams.word for ngrams in orders)]),
        np.concatenate([zero, *suffixes]),
        np.concatenate([np.zeros(1), *log_probs]),
        np.concatenate([np.zeros(1), *gammas[1:], last]),
    )
