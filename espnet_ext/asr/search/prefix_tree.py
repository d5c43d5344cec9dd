"""The prefix tree of a lexicon, in arrays, and look-ahead over it.

Pronunciations that begin alike share nodes. Node 0 is the root. An arc has a label; it
leads to a child, or ends a word and leads to the root. Each word that ends with a label
has an arc of its own (homophones; words that are the beginning of another), so a path
of arcs says which words were spoken, and a path is at a word end where it is at the
root.

Nodes are numbered by depth, and the arcs of a node stand side by side.
"""

# Dimensions: N nodes, A arcs, W words
from typing import Dict, List, Sequence, Tuple

import numpy as np

from espnet_ext.errors import OptionError
from espnet_ext.lexicon.dictionary import WORD_END, Lexicon
from espnet_ext.lexicon.pronounce import has_word_ends, marked
from espnet_ext.names import nearest

ROOT = 0
NO_WORD = -1


class PrefixTree:
    """Arcs of all nodes.

    Args:
        words: The text of each word.
        pronunciations: (word, labels), any number for a word, none empty.

    Attributes:
        first_N1: First arc of each node, then the number of arcs.
        label_A, to_A, word_A: Label of an arc, node it leads to, word it ends or
            NO_WORD.
        most_arcs: Largest number of arcs of a node.
    """

    def __init__(
        self,
        words: Sequence[str],
        pronunciations: Sequence[Tuple[int, Sequence[int]]],
    ):
        self.words = list(words)
        children: List[Dict[int, int]] = [{}]
        ends: List[List[Tuple[int, int]]] = [[]]  # (label, word) of each node
        depth = [0]
        for word, labels in pronunciations:
            node = ROOT
            for label in labels[:-1]:
                if label not in children[node]:
                    children[node][label] = len(children)
                    children.append({})
                    ends.append([])
                    depth.append(depth[node] + 1)
                node = children[node][label]
            if (labels[-1], word) not in ends[node]:
                ends[node].append((labels[-1], word))
        order = np.argsort(depth, kind="stable")
        number = np.empty_like(order)
        number[order] = np.arange(len(order))
        first, label, to, of_word = [0], [], [], []
        for node in order.tolist():
            for symbol, child in children[node].items():
                label.append(symbol)
                to.append(int(number[child]))
                of_word.append(NO_WORD)
            for symbol, word in ends[node]:
                label.append(symbol)
                to.append(ROOT)
                of_word.append(word)
            first.append(len(label))
        self.first_N1 = np.array(first, dtype=np.int64)
        self.label_A = np.array(label, dtype=np.int64)
        self.to_A = np.array(to, dtype=np.int64)
        self.word_A = np.array(of_word, dtype=np.int64)
        self.most_arcs = int(np.diff(self.first_N1).max())
        self._word_arcs = np.flatnonzero(self.word_A != NO_WORD)
        self._ending = self.word_A[self._word_arcs]
        inner = np.flatnonzero(self.word_A == NO_WORD)
        self._into_N = np.zeros(len(first) - 1, dtype=np.int64)
        self._into_N[self.to_A[inner]] = inner
        depths = np.array(depth)[order]
        edges = np.flatnonzero(np.diff(depths)) + 1
        levels = np.split(np.arange(len(order)), edges)
        self._levels = [level for level in levels[1:][::-1] if len(level)]

    @classmethod
    def of_lexicon(cls, lexicon: Lexicon, tokens: Sequence[str]) -> "PrefixTree":
        """The tree of a lexicon over the tokens of a model.

        Phonemes that end a word have a mark if those of the model have one.

        Raises:
            OptionError: The model has no such phoneme.
        """
        word_end = has_word_ends(tokens)
        index = {token: number for number, token in enumerate(tokens)}
        words = list(lexicon)
        pronunciations = []
        for number, word in enumerate(words):
            for phonemes in lexicon[word]:
                units = marked(phonemes, word_end)
                missing = [unit for unit in units if unit not in index]
                if missing:
                    raise _unknown_phoneme(missing[0], word, phonemes, tokens)
                pronunciations.append((number, [index[unit] for unit in units]))
        return cls(words, pronunciations)

    def arc_scores(self, scores_W: np.ndarray) -> np.ndarray:
        """[A]: of an arc that ends a word its score, of others the best behind it."""
        scores_A = np.empty(len(self.label_A), dtype=np.float64)
        scores_A[self._word_arcs] = scores_W[self._ending]
        for level in self._levels:  # from the leaves up
            last = self.first_N1[level[-1] + 1]
            best = np.maximum.reduceat(scores_A[:last], self.first_N1[level])
            scores_A[self._into_N[level]] = best
        return scores_A


def _unknown_phoneme(unit: str, word: str, phonemes, tokens) -> OptionError:
    close = nearest(unit, tokens)
    bare = {token.removesuffix(WORD_END) for token in tokens}
    hint = f"nearest: {close!r}" if close else None
    if unit.removesuffix(WORD_END) in bare:
        hint = f"the model has {unit.removesuffix(WORD_END)!r} in other places of words"
    return OptionError(
        f"the model has no phoneme {unit!r} of {word!r} ({' '.join(phonemes)})",
        where="--lexicon_file",
        expected="the phonemes of the lexicon that the model was trained with",
        next_step=hint or "take the model's own lexicon (leave out --lexicon_file)",
    )
