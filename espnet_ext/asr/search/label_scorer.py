"""Shallow fusion: scores of the next label given the labels so far.

A scorer knows nothing of time. The search adds its scores where a label is emitted,
never to blank, so that every path of a label sequence gets the same sum and merging
paths stays exact: an entry's score is

    log sum of p_transducer(path) over the merged paths
        + sum over scorers of weight * sum over labels of log p(label | labels before)

Scorers begin with the sentence begin. No sentence end is scored: in a time-synchronous
search no hypothesis ends before the audio does. A negative weight subtracts.
"""

# Dimensions: E label sequences that are new, N rows (all hypotheses), V vocabulary
import functools
from typing import Any, Dict, List, NamedTuple, Protocol, Sequence, Tuple, Union

import torch
from espnet2.lm.abs_model import AbsLM
from espnet2.lm.seq_rnn_lm import SequentialRNNLM

from espnet_ext.asr.search.interface import SearchScorer, State
from espnet_ext.errors import OptionError
from espnet_ext.lm.ngram import EOS, UNK, NgramModel

SHOWN_TOKENS = 5
CACHED_STATES = 4096


class LabelScorer(Protocol):
    """Log-probabilities of all labels after some labels, in a batch.

    Whatever it has to remember of a label sequence is in the sequence's state.
    """

    def start(self) -> Tuple[torch.Tensor, Any]:
        """Scores [V] of the first label, and the state before it."""

    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        """Scores [E, V] of what follows, and states, after a label in each state."""


class NeuralLmScorer:
    """A language model of ESPnet over the labels of the recognizer.

    Args:
        lm: Its ``batch_score`` is called; the output has the recognizer's labels.
        sos: Label that stands for the sentence begin.
    """

    def __init__(self, lm: AbsLM, sos: int):
        self.lm = lm.eval()
        self.sos = sos
        # all it needs of the past is in its state, whatever the length
        self.recurrent = isinstance(lm, SequentialRNNLM)

    def start(self) -> Tuple[torch.Tensor, Any]:
        scores, states = self.step([self.sos], [((), None)])
        return scores[0], states[0]

    @torch.no_grad()
    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        device = next(self.lm.parameters()).device
        histories = [
            (label,) if self.recurrent else (*past, label)
            for label, (past, _) in zip(labels, states)
        ]
        rows_of: Dict[int, List[int]] = {}
        for row, history in enumerate(histories):
            rows_of.setdefault(len(history), []).append(row)
        results: Dict[int, Tuple[torch.Tensor, Any]] = {}
        for rows in rows_of.values():  # a batch has histories of one length
            labels_EL = torch.tensor([histories[r] for r in rows], device=device)
            inner = [states[r][1] for r in rows]
            unused = labels_EL.new_zeros(len(rows), 0)  # encoder frames
            scores_EV, after = self.lm.batch_score(labels_EL, inner, unused)
            for number, row in enumerate(rows):
                results[row] = scores_EV[number], (histories[row], after[number])
        scores = torch.stack([results[row][0] for row in range(len(labels))])
        return scores, [results[row][1] for row in range(len(labels))]


class NgramScorer:
    """An n-gram model over the labels of the recognizer.

    Args:
        model: Its words are the recognizer's tokens.
        token_list: Symbol of each label; the last one stands for the sentence end.

    Raises:
        OptionError: Most of the tokens are no words of the model.
    """

    def __init__(self, model: NgramModel, token_list: Sequence[str]):
        self.model = model
        inner = token_list[1:-1]
        missing = [token for token in inner if token not in model.index]
        if 2 * len(missing) > len(inner):
            raise OptionError(
                f"{len(missing)} of {len(inner)} tokens of the recognizer are not in "
                f"the n-gram model: {' '.join(missing[:SHOWN_TOKENS])} ...",
                where="--ngram_file",
                expected="a model of the same units (stage 9 of run.sh makes it)",
            )
        unknown = model.index[UNK]
        words = [model.index.get(token, unknown) for token in token_list]
        words[-1] = model.index[EOS]
        self.words = words
        self._scores = functools.lru_cache(CACHED_STATES)(self._compute)

    def _compute(self, state: int) -> torch.Tensor:
        return torch.from_numpy(self.model.log_probs(state)[self.words])

    def start(self) -> Tuple[torch.Tensor, Any]:
        state = self.model.start()
        return self._scores(state), state

    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        after = [
            self.model.step(state, self.words[label])[1]
            for label, state in zip(labels, states)
        ]
        return torch.stack([self._scores(state) for state in after]), after


class ListScorer:
    """A LabelScorer for all rows of a batched search.

    A label sequence has a number, and each is computed once while a row has it. Bits of
    a neural model's scores depend on how many sequences it gets at once.

    Args:
        scorer: Its states may be anything.
    """

    def __init__(self, scorer: LabelScorer):
        self.scorer = scorer
        self._known: Dict[int, _Known] = {}
        self._children: Dict[Tuple[int, int], int] = {}
        self._count = 0

    def _add(self, scores_V: torch.Tensor, state: Any) -> int:
        self._count += 1
        self._known[self._count] = _Known(scores_V, state)
        return self._count

    def start(self, batch: int) -> torch.Tensor:
        """Numbers [N] of the empty sequence."""
        self._known, self._children, self._count = {}, {}, 0
        return torch.full((batch,), self._add(*self.scorer.start()))

    def scores(self, state: torch.Tensor) -> torch.Tensor:
        """See SearchScorer."""
        numbers, row_of = state.unique(return_inverse=True)
        table = torch.stack([self._known[n].scores_V for n in numbers.tolist()])
        return table[row_of.to(table.device)]

    def advance(self, state, rows_N, symbols_N, blank: int = 0) -> torch.Tensor:
        """See SearchScorer; one call of the scorer for all that is new."""
        old, labels = state[rows_N.cpu()].tolist(), symbols_N.tolist()
        pairs = [(n, k) for n, k in zip(old, labels) if k != blank]
        new = [p for p in dict.fromkeys(pairs) if p not in self._children]
        if new:
            states = [self._known[number].state for number, _ in new]
            scores_EV, after = self.scorer.step([label for _, label in new], states)
            for pair, scores_V, one in zip(new, scores_EV, after):
                self._children[pair] = self._add(scores_V, one)
        numbers = [
            n if k == blank else self._children[n, k] for n, k in zip(old, labels)
        ]
        used = set(numbers)
        self._known = {n: self._known[n] for n in used}
        self._children = {
            pair: n
            for pair, n in self._children.items()
            if n in used and pair[0] in used
        }
        return torch.tensor(numbers, dtype=torch.long)


class _Known(NamedTuple):
    scores_V: torch.Tensor
    state: Any


class FusedScores:
    """Weighted sum of scorers, for the rows of a batched search.

    Args:
        scorers: SearchScorer or LabelScorer, with their weights; those of weight 0 are
            left out.
        blank_id: Nothing is added to its score.
    """

    def __init__(
        self,
        scorers: Sequence[Tuple[Union[SearchScorer, LabelScorer], float]],
        blank_id: int,
    ):
        self.blank_id = blank_id
        self.scorers: List[Tuple[SearchScorer, float]] = [
            (s if hasattr(s, "advance") else ListScorer(s), weight)
            for s, weight in scorers
            if weight
        ]

    @property
    def needs_host(self) -> bool:
        """Whether a scorer has states that are no tensors."""
        return any(isinstance(scorer, ListScorer) for scorer, _ in self.scorers)

    def start(self, batch: int) -> Tuple[State, ...]:
        """State of ``batch`` rows before the first label."""
        return tuple(scorer.start(batch) for scorer, _ in self.scorers)

    def add(self, log_probs_NV: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """``log_probs_NV`` plus the weighted scores of the labels."""
        if not self.scorers:
            return log_probs_NV
        total = sum(
            weight * scorer.scores(state).to(log_probs_NV)
            for (scorer, weight), state in zip(self.scorers, states)
        )
        total[:, self.blank_id] = 0.0
        return log_probs_NV + total

    def advance(self, states, rows_N, symbols_N) -> Tuple[State, ...]:
        """Row n continues old row ``rows_N[n]`` with ``symbols_N[n]``."""
        return tuple(
            scorer.advance(state, rows_N, symbols_N)
            for (scorer, _), state in zip(self.scorers, states)
        )
