"""Language models of words for the search through a prefix tree, with look-ahead.

A state is a number. Look-ahead: an entry inside a word is compared with others by its
score plus the best score of the words that it can become; the words' own scores replace
it at the word end, so final scores do not depend on it.

| look_ahead | inside a word                                                   |
|------------|-----------------------------------------------------------------|
| ``full``   | best score of the language model in its state                   |
| ``unigram``| best unigram score: one table for all states                    |
| ``none``   | nothing                                                         |

Ref: Ortmanns, Ney and Eiden 1996, Language-model look-ahead for large vocabulary speech
recognition.
"""

# Dimensions: W words of the tree, A its arcs, X any number, U states in use
from typing import Dict, List, Protocol, Sequence

import numpy as np
import torch

from espnet_ext.asr.search.prefix_tree import NO_WORD, PrefixTree
from espnet_ext.errors import OptionError
from espnet_ext.lm.ngram import ROOT, NgramModel, find_child

LOOK_AHEADS = ("full", "unigram", "none")
TABLE_BYTES = 256 * 2**20
SHOWN_WORDS = 5


class WordLm(Protocol):
    """A language model over the words of a tree."""

    def start(self) -> int:
        """State at the beginning of a sentence."""

    def scores(self, state: int) -> np.ndarray:
        """Log-probabilities [W] of the next word."""

    def unigrams(self) -> np.ndarray:
        """Log-probabilities [W] of words without context."""

    def advance(self, states_X: np.ndarray, words_X: np.ndarray) -> np.ndarray:
        """States after one more word."""

    def end(self, state: int) -> float:
        """Log-probability of the sentence end."""


class NoWordLm:
    """Every word has the score 0; there is one state."""

    def __init__(self, words: int):
        self.zeros = np.zeros(words)

    def start(self) -> int:
        """0"""
        return 0

    def scores(self, state: int) -> np.ndarray:
        """Zeros [W]."""
        return self.zeros

    def unigrams(self) -> np.ndarray:
        """Zeros [W]."""
        return self.zeros

    def advance(self, states_X: np.ndarray, words_X: np.ndarray) -> np.ndarray:
        """The same states."""
        return states_X

    def end(self, state: int) -> float:
        """0.0"""
        return 0.0


class NgramWordLm:
    """An n-gram of words.

    Args:
        model: Has all the words, see ``known_words``.
        words: Words of the tree.
    """

    def __init__(self, model: NgramModel, words: Sequence[str]):
        self.model = model
        self.ids_W = np.array([model.index[word] for word in words], dtype=np.int64)
        # where each n-gram leads, without words that nothing depends on
        self.short = np.arange(len(model.parent))
        childless = model.first_child[:-1] == model.first_child[1:]
        skipped = childless & (model.backoff == 0.0)
        skipped[ROOT] = False
        while skipped[self.short].any():
            self.short = np.where(
                skipped[self.short], model.suffix[self.short], self.short
            )

    def start(self) -> int:
        """See WordLm."""
        return self.model.start()

    def scores(self, state: int) -> np.ndarray:
        """See WordLm."""
        return self.model.log_probs(state)[self.ids_W]

    def unigrams(self) -> np.ndarray:
        """See WordLm."""
        return self.scores(ROOT)

    def advance(self, states_X: np.ndarray, words_X: np.ndarray) -> np.ndarray:
        """See WordLm."""
        model, ids_X = self.model, self.ids_W[words_X]
        contexts_X, after_X = states_X.copy(), np.full_like(states_X, ROOT)
        open_X = np.ones(len(states_X), dtype=bool)
        while open_X.any():
            child_X = find_child(model.keys, contexts_X, ids_X, len(model.words))
            found_X = open_X & (child_X != ROOT)
            after_X[found_X] = child_X[found_X]
            open_X &= ~found_X
            contexts_X = model.suffix[contexts_X]  # ends at the root: all words
        return self.short[after_X]

    def end(self, state: int) -> float:
        """See WordLm."""
        return self.model.step(state, self.model.eos)[0]


def known_words(model: NgramModel, words: Sequence[str], where) -> List[str]:
    """The words that a model has; the others cannot be recognised with it.

    Raises:
        OptionError: It has none of them.
    """
    known = [word for word in words if word in model.index]
    if not known:
        raise OptionError(
            f"no word of the lexicon ({', '.join(words[:SHOWN_WORDS])} ...) is in the "
            "language model",
            where=where,
            expected="an n-gram of words, in the case of the lexicon's",
            next_step="--use_word_lm true --use_ngram true (stage 9) makes one",
        )
    return known


class ArcScores:
    """Weighted scores of all arcs of the tree, by state of the language model.

    Of an arc that ends a word: weight times its score, plus the penalty. Of others:
    the look-ahead. Rows are kept as long as there is room.

    Args:
        tree: The words' tree.
        lm: Their language model.
        weight: Of its scores.
        penalty: Reward for a word.
        look_ahead: One of LOOK_AHEADS.
        table_bytes: Size of the table beyond which states not in use are dropped.

    Raises:
        ValueError: Unknown ``look_ahead``.
    """

    def __init__(
        self,
        tree: PrefixTree,
        lm: WordLm,
        weight: float = 1.0,
        penalty: float = 0.0,
        look_ahead: str = "full",
        table_bytes: int = TABLE_BYTES,
    ):
        if look_ahead not in LOOK_AHEADS:
            raise ValueError(
                f"look_ahead {look_ahead!r}: expected one of {LOOK_AHEADS}"
            )
        self.tree, self.lm = tree, lm
        self.weight, self.penalty = weight, penalty
        self.look_ahead = look_ahead
        self.inner_A = tree.word_A == NO_WORD
        self.fixed_A = np.zeros(len(tree.label_A))
        if look_ahead == "unigram":
            self.fixed_A = self._of_words(lm.unigrams())
        self.capacity = max(1, table_bytes // (4 * len(tree.label_A)))
        self.table_UA = torch.empty(0, len(tree.label_A))
        self.row_of: Dict[int, int] = {}

    def _of_words(self, scores_W: np.ndarray) -> np.ndarray:
        return self.tree.arc_scores(self.weight * scores_W + self.penalty)

    def _row(self, state: int) -> torch.Tensor:
        scores_A = self._of_words(self.lm.scores(state))
        if self.look_ahead != "full":
            scores_A = np.where(self.inner_A, self.fixed_A, scores_A)
        return torch.from_numpy(scores_A.astype(np.float32))

    def rows(self, states: torch.Tensor) -> torch.Tensor:
        """Rows of ``table_UA`` for states of any shape; adds those that are missing."""
        wanted, place = states.cpu().unique(return_inverse=True)
        used = wanted.tolist()
        missing = [state for state in used if state not in self.row_of]
        if missing:
            self._add(missing, used, states.device)
        numbers = torch.tensor([self.row_of[state] for state in used])
        return numbers[place].to(states.device)

    def _add(self, missing: List[int], used: List[int], device) -> None:
        if len(self.row_of) + len(missing) > max(self.capacity, len(used)):
            kept = [state for state in used if state in self.row_of]
            rows = torch.tensor([self.row_of[s] for s in kept], dtype=torch.long)
            kept_UA = self.table_UA[rows.to(self.table_UA.device)]
            self.table_UA[: len(kept)] = kept_UA
            self.row_of = {state: row for row, state in enumerate(kept)}
        first, needed = len(self.row_of), len(self.row_of) + len(missing)
        if needed > self.table_UA.size(0) or self.table_UA.device != device:
            size = max(needed, min(2 * self.table_UA.size(0), self.capacity))
            larger_UA = torch.empty(size, self.table_UA.size(1), device=device)
            larger_UA[:first] = self.table_UA[:first]
            self.table_UA = larger_UA
        for row, state in enumerate(missing, start=first):
            self.table_UA[row] = self._row(state)
            self.row_of[state] = row
