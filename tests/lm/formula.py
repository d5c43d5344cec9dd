"""Modified Kneser-Ney straight from the paper: counters of tuples, one event a time.

Nothing here is shared with the implementation; slow on purpose.
"""

from collections import Counter

BOS, EOS = "<s>", "</s>"


class Formula:
    """p(w | context) by Chen and Goodman's equations, recursive, without back-off.

    Args:
        sentences: Lists of words.
        words: All words that can be predicted, ``</s>`` and ``<unk>`` among them.
        order: Length of the longest n-grams.
        discounts: Function of the numbers (n1, n2, n3, n4) to (D1, D2, D3).
    """

    def __init__(self, sentences, words, order, discounts):
        self.words, self.order = list(words), order
        padded = [[BOS, *sentence, EOS] for sentence in sentences]
        self.raw = {
            n: Counter(
                tuple(s[i : i + n]) for s in padded for i in range(len(s) - n + 1)
            )
            for n in range(1, order + 1)
        }
        self.adjusted = {n: self._adjusted(n) for n in range(1, order + 1)}
        self.discount = {}
        for n, counts in self.adjusted.items():
            of = Counter(counts.values())
            self.discount[n] = discounts(of[1], of[2], of[3], of[4])

    def _adjusted(self, n):
        counts = {gram: c for gram, c in self.raw[n].items() if gram != (BOS,)}
        if n == self.order:
            return counts
        return {
            gram: count if gram[0] == BOS else self._preceding(gram)
            for gram, count in counts.items()
        }

    def _preceding(self, gram):
        longer = self.raw[len(gram) + 1]
        return len({g[0] for g in longer if g[1:] == gram})

    def _d(self, n, count):
        return 0.0 if count == 0 else self.discount[n][min(count, 3) - 1]

    def p(self, word, context=()):
        """Probability of a word after a tuple of words."""
        context = tuple(context)[max(len(context) - self.order + 1, 0) :]
        n = len(context) + 1
        counts = self.adjusted[n]
        following = {
            v: counts[(*context, v)] for v in self.words if (*context, v) in counts
        }
        lower = self.p(word, context[1:]) if context else 1.0 / len(self.words)
        total = sum(following.values())
        if total == 0:
            return lower
        gamma = sum(self._d(n, c) for c in following.values()) / total
        count = following.get(word, 0)
        return (count - self._d(n, count)) / total + gamma * lower
