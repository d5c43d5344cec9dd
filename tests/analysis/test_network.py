import pytest

from espnet_ext.analysis.network import make_word, parse_transcript
from espnet_ext.errors import FormatError


def paths(network):
    """All word sequences of a network, by walking back from its last arcs."""

    def back(arc):
        if arc == 0:
            return [()]
        word = network.words[arc].text
        return [p + (word,) for before in network.previous[arc] for p in back(before)]

    return {path for arc in network.final for path in back(arc)}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {()}),
        ("a b", {("a", "b")}),
        ("{ a / b }", {("a",), ("b",)}),
        ("x {a b/c} y", {("x", "a", "b", "y"), ("x", "c", "y")}),
        ("{ a / { b / c } d } e", {("a", "e"), ("b", "d", "e"), ("c", "d", "e")}),
        ("{ a / @ }", {("a",), ("@",)}),
        ("{ / a / }", {("a",)}),
    ],
)
def test_a_transcript_allows_exactly_its_written_alternatives(text, expected):
    assert paths(parse_transcript(text)) == expected


def test_arcs_come_after_their_predecessors():
    network = parse_transcript("a { b / c { d / e } } f { g / h }")
    for arc, before in enumerate(network.previous):
        assert all(earlier < arc for earlier in before)


@pytest.mark.parametrize("text", ["{ a / b", "a } b", "a{b", "{ }", "x {a / {b }"])
def test_braces_that_do_not_pair_up_are_refused(text):
    with pytest.raises(FormatError):
        parse_transcript(text)


def test_parentheses_mark_optional_words_only_where_asked():
    assert make_word("(uh)", optional=True) == ("(uh)", "uh", True, False)
    assert make_word("(uh)") == ("(uh)", "(uh)", False, False)
    assert not make_word("(", optional=True).optional


def test_an_optional_fragment_is_one_only_by_its_end():
    assert make_word("(th-)", optional=True, fragments=True).fragment
    assert not make_word("(-out)", optional=True, fragments=True).fragment
    assert make_word("-out", fragments=True).fragment
    assert not make_word("-out").fragment


def test_tags_escapes_and_stars_are_not_part_of_a_word():
    assert make_word("they;tag1;tag2").text == "they"
    assert make_word("a\\;s;tag").text == "a;s"
    assert make_word("word*").text == "word"
    assert make_word("*").text == "*"
