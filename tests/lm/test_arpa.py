"""ARPA files: written, read back, read as other programs write them, refused."""

import math
import re

import numpy as np
import pytest

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.lm.arpa import read_arpa, write_arpa
from tests.lm.test_kneser_ney import contexts, model_of, state_of, text

FOREIGN = """some header that programs write

\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.0 </s>
-99 <s> -0.5
-0.6 a -0.2
-0.7 b -0.1
-0.8 c

\\2-grams:
-0.3 <s> a -0.4
-0.2 c b -0.15
-0.25 a c
-0.35 b </s>

\\3-grams:
-0.05 <s> a b

\\end\\
"""


def dictionary_score(path, words):
    """log10 p(last | others) by the definition of back-off, from the lines alone."""
    table = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = re.split("[ \t]+", line.strip())
        if re.fullmatch(r"-?[\d.e+-]+", fields[0]) and len(fields) > 1:
            weight = 0.0
            if re.fullmatch(r"-?[\d.]+(e-?\d+)?", fields[-1]) and len(fields) > 2:
                weight = float(fields.pop())
            table[tuple(fields[1:])] = float(fields[0]), weight

    def score(gram):
        if gram in table:
            return table[gram][0]
        return table.get(gram[:-1], (0.0, 0.0))[1] + score(gram[1:])

    return score(tuple(words))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_model_that_is_read_back_gives_the_same_scores(tmp_path, order):
    model, _ = model_of(text(order), order)
    write_arpa(model, tmp_path / "m.arpa")
    again = read_arpa(tmp_path / "m.arpa")
    assert again.words == model.words and again.counts() == model.counts()
    for context in contexts(3):
        ours, theirs = (m.log_probs(state_of(m, context)) for m in (model, again))
        np.testing.assert_allclose(theirs, ours, rtol=1e-7, atol=1e-8)


def test_the_file_itself_means_what_the_model_computes(tmp_path):
    model, _ = model_of(text(2), 3)
    path = tmp_path / "m.arpa"
    write_arpa(model, path)
    for context in [(), ("<s>",), ("<s>", "a"), ("a", "b"), ("g", "b"), ("d", "g")]:
        scores = model.log_probs(state_of(model, context)) / math.log(10)
        for word in ("a", "f", "g", "</s>", "<unk>"):
            expected = dictionary_score(path, (*context, word))
            assert scores[model.index[word]] == pytest.approx(expected, abs=1e-6)


def test_pruned_files_with_blanks_and_without_unk_are_read(tmp_path):
    path = tmp_path / "foreign.arpa"
    path.write_text(FOREIGN, encoding="utf-8")
    model = read_arpa(path)
    cases = [("<s>", "a", "b"), ("<s>", "a", "c"), ("<s>", "b", "a"), ("a", "c", "b")]
    cases += [("c", "b", "</s>"), ("b", "c", "a"), ("<s>", "a", "a")]
    for *context, word in cases:
        score, _ = model.step(state_of(model, tuple(context)), model.index[word])
        expected = dictionary_score(path, (*context, word))
        assert score / math.log(10) == pytest.approx(expected)
    unknown, _ = model.step(model.start(), model.unk)
    assert unknown / math.log(10) == pytest.approx(-100.5)


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("\\end\\\n", "", "ends without"),
        ("ngram 2=4", "ngram 2=5", "as its head says"),
        ("-0.2 c b", "-0.2 c x", "'x' is not among the 1-grams"),
        ("-0.3 <s> a -0.4", "-0.3 c a", "'<s> a b' is there, but not its beginning"),
        ("-0.25 a c", "a c", "line 18: 'a c' is no 2-gram"),
        ("-0.25 a c", "-0.25 a c -0.1 0.2", "is no 2-gram"),
        ("-1.0 </s>", "-1.0 d", "no </s>"),
        ("ngram ", "n-gram ", "no table of n-gram numbers"),
    ],
)
def test_broken_files_are_refused_with_the_place(tmp_path, old, new, expected):
    path = tmp_path / "broken.arpa"
    path.write_text(FOREIGN.replace(old, new), encoding="utf-8")
    with pytest.raises(FormatError) as caught:
        read_arpa(path)
    assert expected in str(caught.value) and "broken.arpa" in str(caught.value)


def test_a_beginning_is_not_found_by_starting_anew_in_the_middle(tmp_path):
    four = "\\4-grams:\n-0.1 b c a c\n\n\\end\\"  # 'a c' is there, 'b c a' is not
    text = FOREIGN.replace("\\end\\", four)
    text = text.replace("ngram 3=1", "ngram 3=1\nngram 4=1")
    path = tmp_path / "broken.arpa"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match="not its beginning 'b c a'"):
        read_arpa(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="none.arpa"):
        read_arpa(tmp_path / "none.arpa")


def test_nothing_is_left_of_a_file_whose_writing_fails(tmp_path):
    model, _ = model_of(text(1), 2)
    model.log_prob = None  # so that it fails after the head of the file
    with pytest.raises(TypeError):
        write_arpa(model, tmp_path / "m.arpa")
    assert list(tmp_path.iterdir()) == []
