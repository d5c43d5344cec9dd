"""Corpora by utterance id, and their sums."""

import numpy as np
import pytest

from espnet_ext.corpus_ids import EVERYTHING, Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.errors import FormatError, OptionError

CORPORA = Corpora.parse("calls= studio=st- call_home=st-ch- calls=sw")


def test_the_longest_beginning_of_an_id_counts():
    assert CORPORA.names == ["calls", "studio", "call_home"]
    assert CORPORA.default == "calls" and Corpora.parse("a=x b=y").default == "a"
    for utterance, corpus in (
        ("sw02001-A_000098-001156", "calls"),
        ("en_4156", "calls"),
        ("st-7", "studio"),
        ("st-ch-7", "call_home"),
        ("sp0.9-st-7", "studio"),
        ("sp1.1-en", "calls"),
    ):
        assert CORPORA.of(utterance) == corpus


def test_an_id_of_no_corpus_and_a_corpus_without_ids_are_named():
    corpora = Corpora.parse("a=x- b=y-")
    with pytest.raises(OptionError, match="z-1 belongs to no corpus"):
        corpora.of("z-1")
    with pytest.raises(OptionError, match="no utterance of b"):
        corpora.groups(["x-1"])
    assert corpora.groups(["y-1", "x-1", "y-2"]) == {"a": ["x-1"], "b": ["y-1", "y-2"]}


@pytest.mark.parametrize("text", ["", "a", "=x", "a=x b=x"])
def test_words_that_name_no_corpus_are_refused(text):
    with pytest.raises(OptionError, match="corpus"):
        Corpora.parse(text)


def test_sums_of_parts_give_the_moments_of_each_corpus(tmp_path):
    frames = np.random.default_rng(0).normal(3.0, 2.0, (7, 50, 4))
    parts = {"calls": [0, 1, 2], "studio": [3, 4], "call_home": [5, 6]}
    for number, part in enumerate(frames):
        np.savez(
            tmp_path / f"{number}.npz",
            count=len(part),
            sum=part.sum(0),
            sum_square=(part**2).sum(0),
        )
    files = {k: [tmp_path / f"{n}.npz" for n in v] for k, v in parts.items()}
    CorpusStatistics.add_up(CORPORA, files).write(tmp_path / "all.npz")
    read = CorpusStatistics.read(tmp_path / "all.npz")
    assert read.corpora == CORPORA
    mean, std = read.moments(0.0)
    for row, numbers in enumerate(parts.values()):
        own = frames[numbers].reshape(-1, 4)
        np.testing.assert_allclose(mean[row], own.mean(0))
        np.testing.assert_allclose(std[row], own.std(0))
    with pytest.raises(FormatError, match="no statistics of corpora"):
        CorpusStatistics.read(tmp_path / "0.npz")


def test_everything_is_one_corpus():
    assert Corpora.parse(EVERYTHING).of("whatever") == "all"
