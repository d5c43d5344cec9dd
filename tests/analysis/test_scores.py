import math

from espnet_ext.analysis.align import align_words
from espnet_ext.analysis.scores import Counts, Score, ScoredSegment, subsets


def segment(name, ref, hyp, **more):
    return ScoredSegment(
        name, more.pop("speaker", name), align_words(ref.split(), hyp.split()), **more
    )


def test_counts_add_up():
    parts = [segment("a", "x y z", "x q"), segment("b", "x", "x y")]
    score = Score(parts, "builtin", "0")
    assert score.total == parts[0].counts + parts[1].counts
    assert score.total == Counts(2, 4, 2, 1, 1, 1, 2)
    assert score.total.error_rate == 75.0
    assert math.isnan(Counts().error_rate)


def test_nist_sets_are_split_by_the_names_of_their_files():
    parts = [
        segment("1", "x", "x", file="sw_1", labels=("o", "sw", "m")),
        segment("2", "x", "y", file="en_1", labels=("o", "en", "m")),
        segment("3", "x", "y", file="en_2", labels=("o", "en", "f")),
    ]
    score = Score(parts, "builtin", "0", {"m": "Male"})
    found = {name: [s.id for s in group] for name, group in subsets(score).items()}
    # "o" marks all, "sw" and "en" are the corpora again
    assert found == {"swb": ["1"], "ch": ["2", "3"], "f": ["3"], "Male": ["1", "2"]}


def test_a_set_of_one_corpus_or_of_plain_utterances_has_no_subsets():
    assert not subsets(Score([segment("1", "x", "x", file="sw_1")], "builtin", "0"))
    assert not subsets(Score([segment("1", "x", "x")], "builtin", "0"))
