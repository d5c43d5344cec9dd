"""KenLM's binary n-gram files as a label scorer; needs the optional package kenlm."""

from typing import Any, List, Sequence, Tuple

import torch

from espnet_ext.errors import MissingInputError, ToolMissingError
from espnet_ext.lm.arpa import LOG_10
from espnet_ext.lm.ngram import EOS


class KenLmScorer:
    """An n-gram over the recognizer's tokens, read and scored by KenLM.

    KenLM scores one word at a time, so that this is slower than NgramScorer, but it
    reads files that are quantised or too large for memory.

    Args:
        path: A file of KenLM's ``build_binary`` (or ARPA).
        token_list: Symbol of each label; the last one stands for the sentence end.

    Raises:
        ToolMissingError: kenlm is not installed.
        MissingInputError: KenLM cannot open the file.
    """

    def __init__(self, path: str, token_list: Sequence[str]):
        try:
            import kenlm
        except ModuleNotFoundError:
            raise ToolMissingError(
                "binary files of KenLM need the package kenlm",
                where=path,
                next_step="pip install 'espnet-ext[lm]', or give the ARPA file",
            ) from None
        try:
            self.model = kenlm.Model(str(path))
        except OSError as error:
            raise MissingInputError(str(error), where=path) from None
        self.new_state = kenlm.State
        self.words = [*token_list[:-1], EOS]

    def _scores(self, state) -> torch.Tensor:
        unused = self.new_state()
        scores = [self.model.BaseScore(state, word, unused) for word in self.words]
        return torch.tensor(scores, dtype=torch.float64) * LOG_10

    def start(self) -> Tuple[torch.Tensor, Any]:
        """Scores [V] of the first label, and the state before it."""
        state = self.new_state()
        self.model.BeginSentenceWrite(state)
        return self._scores(state), state

    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        """Scores [E, V] of what follows, and states, after a label in each state."""
        after = []
        for label, state in zip(labels, states):
            following = self.new_state()
            self.model.BaseScore(state, self.words[label], following)
            after.append(following)
        return torch.stack([self._scores(state) for state in after]), after
