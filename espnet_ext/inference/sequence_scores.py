"""Scores of whole label sequences, and perplexities, by any label scorer."""

import math
from typing import List, NamedTuple, Optional, Sequence

from espnet_ext.asr.search.label_scorer import LabelScorer

BATCH = 64


class TextScore(NamedTuple):
    """Log-probability of a text.

    Attributes:
        log_prob: Natural logarithm, of all tokens (and ends).
        sentences: Number of sentences.
        tokens: Number of tokens, without sentence ends.
        words: Number of words.
        ends: Whether sentence ends are scored.
    """

    log_prob: float
    sentences: int
    tokens: int
    words: int
    ends: bool

    def _perplexity(self, count: int) -> float:
        events = count + self.ends * self.sentences
        return math.exp(-self.log_prob / events)

    @property
    def per_token(self) -> float:
        """Perplexity a token; a sentence end is one more token if it is scored."""
        return self._perplexity(self.tokens)

    @property
    def per_word(self) -> float:
        """Perplexity a word: of models with other tokens, comparable all the same."""
        return self._perplexity(self.words)


def sequence_scores(
    scorer: LabelScorer, sequences: Sequence[Sequence[int]], end: Optional[int] = None
) -> List[float]:
    """Log-probability of each label sequence.

    Args:
        scorer: What scores them.
        sequences: Labels, without sentence begin and end.
        end: Label of the sentence end, to be scored too; None for no end.
    """
    totals = [0.0] * len(sequences)
    by_length = sorted(range(len(sequences)), key=lambda n: len(sequences[n]))
    for first in range(0, len(by_length), BATCH):
        rows = by_length[first : first + BATCH]
        for row, total in zip(rows, _scores([sequences[r] for r in rows], scorer, end)):
            totals[row] = total
    return totals


def _scores(sequences, scorer, end) -> List[float]:
    targets = [[*labels, *([] if end is None else [end])] for labels in sequences]
    totals = [0.0] * len(targets)
    scores_V, state = scorer.start()
    states = [state] * len(targets)
    scores = [scores_V] * len(targets)
    for position in range(max(map(len, targets), default=0)):
        rows = [r for r, labels in enumerate(targets) if position < len(labels)]
        for row in rows:
            totals[row] += float(scores[row][targets[row][position]])
        going_on = [r for r in rows if position + 1 < len(targets[r])]
        if not going_on:
            continue
        scores_EV, after = scorer.step(
            [targets[r][position] for r in going_on], [states[r] for r in going_on]
        )
        for number, row in enumerate(going_on):
            scores[row], states[row] = scores_EV[number], after[number]
    return totals
