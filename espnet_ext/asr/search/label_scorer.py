"""Shallow fusion: scores of the next label given the labels so far.

A scorer knows nothing of time. The search adds its scores where a label is emitted,
never to blank, so that every path of a label sequence gets the same sum and merging
paths stays exact: an entry's score is

    log sum of p_transducer(path) over the merged paths
        + sum over scorers of weight * sum over labels of log p(label | labels before)

Scorers begin with the sentence begin. No sentence end is scored: in a time-synchronous
search no hypothesis ends before the audio does. A negative weight subtracts.
"""

# Dimensions: E hypotheses that emitted, N hypotheses in the beam, V vocabulary
import functools
from typing import Any, Dict, List, NamedTuple, Protocol, Sequence, Tuple

import torch
from espnet2.lm.abs_model import AbsLM
from espnet2.lm.seq_rnn_lm import SequentialRNNLM

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


class _Known(NamedTuple):
    scores_V: torch.Tensor
    states: List[Any]


class FusedBeam:
    """Weighted scores of the label sequences in one beam; each is computed once.

    Label sequences are numbers, 0 is the empty one.

    Args:
        scorers: Scorers with their weights.
        blank_id: Its score is 0.
        like: Scores take the device and type of this tensor.
    """

    def __init__(
        self,
        scorers: Sequence[Tuple[LabelScorer, float]],
        blank_id: int,
        like: torch.Tensor,
    ):
        self.scorers = scorers
        self.blank_id = blank_id
        self.like = like
        first = [scorer.start() for scorer, _ in scorers]
        scores_1V = self._sum([scores_V.unsqueeze(0) for scores_V, _ in first])
        states = [state for _, state in first]
        self._known = {0: _Known(scores_1V[0], states)}
        self._beam, self._scores_NV = [0], scores_1V

    def _sum(self, scores: Sequence[torch.Tensor]) -> torch.Tensor:
        total = sum(
            weight * scores_EV.to(self.like)
            for scores_EV, (_, weight) in zip(scores, self.scorers)
        )
        total[:, self.blank_id] = 0.0
        return total

    def scores(self) -> torch.Tensor:
        """Scores [N, V] of the labels after each sequence of the beam, 0 for blank."""
        return self._scores_NV

    def advance(
        self, beam: Sequence[int], parent: Sequence[int], label: Sequence[int]
    ) -> None:
        """Set the beam; only sequences that were not in the last one are computed.

        Args:
            beam: Numbers of the label sequences.
            parent: For each number, the sequence without its last label. That of a
                new sequence was in the last beam.
            label: For each number, its last label.
        """
        if list(beam) == self._beam:
            return
        new = [p for p in dict.fromkeys(beam) if p not in self._known]
        if new:
            labels = [label[p] for p in new]
            old = [self._known[parent[p]].states for p in new]
            scores, states = [], []
            for number, (scorer, _) in enumerate(self.scorers):
                result = scorer.step(labels, [states[number] for states in old])
                scores.append(result[0])
                states.append(result[1])
            scores_EV = self._sum(scores)
            for row, p in enumerate(new):
                self._known[p] = _Known(scores_EV[row], [s[row] for s in states])
        self._beam = list(beam)
        self._known = {p: self._known[p] for p in self._beam}
        self._scores_NV = torch.stack([self._known[p].scores_V for p in self._beam])
