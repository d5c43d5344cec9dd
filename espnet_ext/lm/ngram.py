"""Back-off n-gram models as a tree of contexts in numpy arrays.

The probability of a word after a context is that of the longest stored n-gram, times
the back-off weight of each longer context that was tried in vain:

    p(w | c) = p_stored(c w)               if the n-gram c w is stored
             = backoff(c) * p(w | c')      otherwise; c' is c without its first word

All logarithms are natural; only ARPA files hold base 10.
"""

import math
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
ROOT = 0


class Perplexity(NamedTuple):
    """Score of a text; each sentence has its words and one end.

    Attributes:
        sentences: Number of sentences.
        tokens: Number of words, without sentence ends.
        unknown: Words that the model does not have; scored as ``<unk>``.
        log_prob: Natural log-probability of all words and sentence ends.
        log_prob_known: The same without the unknown words.
    """

    sentences: int
    tokens: int
    unknown: int
    log_prob: float
    log_prob_known: float

    @property
    def value(self) -> float:
        """Perplexity a token, sentence ends and unknown words included."""
        return math.exp(-self.log_prob / (self.tokens + self.sentences))

    @property
    def value_known(self) -> float:
        """Perplexity a token, unknown words left out."""
        events = self.tokens + self.sentences - self.unknown
        return math.exp(-self.log_prob_known / events)


def find_child(
    keys: np.ndarray, parent: np.ndarray, word: np.ndarray, words: int
) -> np.ndarray:
    """Nodes of the n-grams ``parent word``, 0 (the root is no child) where not stored.

    Args:
        keys: Sorted ``parent * words + word`` of the nodes 1, 2, ...
        parent: Nodes of the contexts.
        word: Ids of the last words.
        words: Size of the vocabulary.
    """
    wanted = np.asarray(parent, dtype=np.int64) * words + word
    place = np.searchsorted(keys, wanted)
    found = keys[np.minimum(place, len(keys) - 1)] == wanted
    return np.where(found, place + 1, 0)


class NgramModel:
    """Stored n-grams as nodes; node 0 is the empty context, 1 ... V the words.

    A state is the node of the longest context that can matter for what follows.

    Args:
        words: The vocabulary with ``<unk>``, ``<s>`` and ``</s>``; word i is node
            i + 1.
        starts: First node of each order, then the number of nodes: [order + 1].
        parent: Node of the n-gram without its last word [nodes]; the nodes are sorted
            by parent and word, those of an order follow those of the lower ones.
        word: Id of the last word [nodes].
        suffix: Node of the longest stored n-gram that ends the same and is shorter.
        log_prob: Log-probability of the last word after the others [nodes].
        backoff: Log of the back-off weight [nodes].
    """

    def __init__(
        self,
        words: Sequence[str],
        starts: Sequence[int],
        parent: np.ndarray,
        word: np.ndarray,
        suffix: np.ndarray,
        log_prob: np.ndarray,
        backoff: np.ndarray,
    ):
        self.words: List[str] = list(words)
        self.index: Dict[str, int] = {word: i for i, word in enumerate(self.words)}
        self.unk, self.bos, self.eos = (self.index[s] for s in (UNK, BOS, EOS))
        self.starts = list(starts)
        self.parent, self.word, self.suffix = parent, word, suffix
        self.log_prob, self.backoff = log_prob, backoff
        self.keys = parent[1:].astype(np.int64) * len(self.words) + word[1:]
        self.first_child = np.searchsorted(parent[1:], np.arange(len(parent) + 1)) + 1

    @property
    def order(self) -> int:
        """Number of words of the longest n-grams."""
        return len(self.starts) - 1

    def counts(self) -> List[int]:
        """Number of n-grams of each order."""
        return [b - a for a, b in zip(self.starts, self.starts[1:])]

    def start(self) -> int:
        """State at the beginning of a sentence."""
        return self._shortened(self.bos + 1)

    def _shortened(self, node: int) -> int:
        """Drop the words that no stored n-gram and no weight depends on."""
        while (
            node != ROOT
            and self.backoff[node] == 0.0
            and self.first_child[node] == self.first_child[node + 1]
        ):
            node = int(self.suffix[node])
        return node

    def step(self, state: int, word: int) -> Tuple[float, int]:
        """Log-probability of a word in a state, and the state after it."""
        score = 0.0
        while True:
            child = int(find_child(self.keys, state, word, len(self.words)))
            if child:
                return score + float(self.log_prob[child]), self._shortened(child)
            score += float(self.backoff[state])
            state = int(self.suffix[state])  # ends at the root, which has all words

    def log_probs(self, state: int) -> np.ndarray:
        """Log-probabilities of all words in a state [V]; ``<s>`` has no meaning."""
        chain = []
        while state != ROOT:
            chain.append(state)
            state = int(self.suffix[state])
        scores = self.log_prob[1 : len(self.words) + 1].copy()
        for node in reversed(chain):
            children = slice(self.first_child[node], self.first_child[node + 1])
            scores += self.backoff[node]
            scores[self.word[children]] = self.log_prob[children]
        return scores

    def score(self, sentence: Sequence[int]) -> List[float]:
        """Log-probabilities of the words of a sentence and of its end."""
        state, scores = self.start(), []
        for word in [*sentence, self.eos]:
            score, state = self.step(state, word)
            scores.append(score)
        return scores

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> Perplexity:
        """Score sentences of words; those the model does not have count as unknown."""
        count = tokens = unknown = 0
        total = known = 0.0
        for sentence in sentences:
            ids = [self.index.get(word, self.unk) for word in sentence]
            scores = self.score(ids)
            missing = [s for s, word in zip(scores, ids) if word == self.unk]
            count, tokens = count + 1, tokens + len(ids)
            unknown += len(missing)
            total += math.fsum(scores)
            known += math.fsum(scores) - math.fsum(missing)
        return Perplexity(count, tokens, unknown, total, known)
