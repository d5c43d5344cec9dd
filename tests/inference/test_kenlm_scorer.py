"""KenLM's scorer, with KenLM's interface played by our own n-gram model.

The package kenlm is an optional extra that has to be compiled, so that what is tested
here is the use of its interface (``BeginSentenceWrite``, ``BaseScore`` in base 10), as
its documentation gives it.
"""

import sys
import types

import pytest
import torch

from espnet_ext.asr.search.label_scorer import NgramScorer
from espnet_ext.errors import ToolMissingError
from espnet_ext.inference.fusion import read_ngram
from espnet_ext.lm.arpa import LOG_10, read_arpa
from tests.inference.models import TOKENS
from tests.inference.test_scales import ngram


class State:
    """A place for what the model remembers."""

    node = 0


class Model:
    """KenLM's Model, on our n-grams."""

    def __init__(self, path):
        self.model = read_arpa(path)

    def BeginSentenceWrite(self, state):
        state.node = self.model.start()

    def BaseScore(self, state, word, after):
        number = self.model.index.get(word, self.model.unk)
        score, after.node = self.model.step(state.node, number)
        return score / LOG_10


def test_scores_are_natural_logarithms_of_the_same_probabilities(tmp_path, monkeypatch):
    ngram(tmp_path / "3gram.arpa", order=3)
    binary = tmp_path / "3gram.bin"
    (tmp_path / "3gram.arpa").rename(binary)
    module = types.SimpleNamespace(Model=Model, State=State)
    monkeypatch.setitem(sys.modules, "kenlm", module)
    theirs = read_ngram(str(binary), TOKENS)
    ours = NgramScorer(read_arpa(binary), TOKENS)
    (a, state_a), (b, state_b) = theirs.start(), ours.start()
    for label in (1, 3, 2, 2):
        torch.testing.assert_close(a.double(), b.double())
        (a,), (state_a,) = theirs.step([label], [state_a])
        (b,), (state_b,) = ours.step([label], [state_b])


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(ToolMissingError, match="need the package kenlm"):
        read_ngram(str(tmp_path / "lm.bin"), TOKENS)
