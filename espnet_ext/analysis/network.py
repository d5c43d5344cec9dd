"""Transcripts as word networks: optional words, alternatives, fragments.

The notation is that of NIST's scoring files: ``(uh)`` may be left out,
``{ a / b c / @ }`` allows any of its alternatives (``@`` is silence), ``th-`` and
``-out`` are fragments, ``word;tag`` carries a tag that is not scored, and a trailing
``*`` is dropped.

Ref: NIST SCTK (public domain), src/sclite/net_adt.c, text.c and word.c; checked
against sclite of SCTK 2.4.10.
"""

from typing import Iterable, List, NamedTuple, Sequence, Tuple, Union

from espnet_ext.errors import FormatError

SILENCE = "@"


class Word(NamedTuple):
    """One word of a transcript.

    Args:
        text: As shown in reports, for example ``(th-)``.
        key: What is compared, for example ``th-``.
        optional: It may be missing without penalty.
        fragment: It also matches words that begin (or end) like it.
    """

    text: str
    key: str
    optional: bool = False
    fragment: bool = False


Element = Union[Word, Tuple[tuple, ...]]  # a word, or alternatives of sequences


class Network(NamedTuple):
    """Arcs in topological order; arc 0 is the start and holds no word.

    Args:
        words: The word of each arc (None for arc 0).
        previous: For each arc the arcs that may come before it, in written order.
        final: The arcs that may be last, in written order.
        linear: There are no alternatives: the arcs are simply a sequence.
    """

    words: List[Union[Word, None]]
    previous: List[List[int]]
    final: List[int]
    linear: bool


def make_word(token: str, *, optional: bool = False, fragments: bool = False) -> Word:
    """Build a word from one token of a transcript.

    Args:
        token: The token, already in the case to be compared.
        optional: Whether parentheses mark words that may be missing.
        fragments: Whether a hyphen at the edge marks a fragment.
    """
    text = without_tags(token)
    if len(text) > 1 and text.endswith("*"):
        text = text[:-1]
    is_optional = optional and len(text) > 1 and text[0] == "(" and text[-1] == ")"
    key = text[1:-1] if is_optional else text
    is_fragment = False
    if fragments and text:
        # an optional word is a fragment only by its last letter: sclite looks at the
        # first character with the parenthesis still on
        edges = (text[0], text[-2]) if is_optional else (text[0], text[-1])
        is_fragment = "-" in edges
    return Word(text, key, is_optional, is_fragment)


def without_tags(token: str) -> str:
    """The word of ``word;tag1;tag2``; a backslash protects a semicolon."""
    if ";" not in token and "\\" not in token:
        return token
    position = 0
    while True:
        position = token.find(";", position)
        if position < 0:
            break
        if position and token[position - 1] == "\\":
            position += 1
            continue
        token = token[:position]
        break
    return token.replace("\\", "")


def lower_ascii(text: str) -> str:
    """Lower case of the letters A-Z only, as sclite does for 8-bit text."""
    if text.isascii():
        return text.lower()
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


def parse_transcript(
    text: str, *, optional: bool = False, fragments: bool = False
) -> Network:
    """Build the network of a written transcript.

    Args:
        text: Words, optionally with ``{ a / b }`` and ``(word)``.
        optional: Treat parentheses as optional words.
        fragments: Let fragments match.

    Raises:
        FormatError: A brace is not closed or stands inside a word.
    """
    if "{" not in text and "}" not in text:
        return linear_network(
            make_word(token, optional=optional, fragments=fragments)
            for token in text.split()
        )
    return build_network(_parse_sequence(text, optional, fragments))


def linear_network(words: Iterable[Word]) -> Network:
    """The network of a plain sequence of words."""
    arcs: List[Union[Word, None]] = [None]
    arcs.extend(words)
    previous = [[]] + [[index] for index in range(len(arcs) - 1)]
    return Network(arcs, previous, [len(arcs) - 1], True)


def build_network(elements: Sequence[Element]) -> Network:
    """Build a network from words and alternatives (tuples of sequences)."""
    words: List[Union[Word, None]] = [None]
    previous: List[List[int]] = [[]]
    linear = True

    def append(sequence: Sequence[Element], before: List[int]) -> List[int]:
        nonlocal linear
        for element in sequence:
            if isinstance(element, Word):
                words.append(element)
                previous.append(before)
                before = [len(words) - 1]
            else:
                linear = False
                starts, before = before, []
                for alternative in element:
                    before.extend(append(alternative, starts))
        return before

    final = append(elements, [0])
    return Network(words, previous, final, linear)


def _parse_sequence(text: str, optional: bool, fragments: bool) -> List[Element]:
    elements: List[Element] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text[position] == "{":
            end = _closing_brace(text, position)
            alternatives = tuple(
                tuple(_parse_sequence(part, optional, fragments))
                for part in _split_alternatives(text[position + 1 : end])
            )
            if not alternatives:
                raise FormatError("empty alternatives in a transcript", where=text)
            elements.append(alternatives)
            position = end + 1
        else:
            end = position
            while end < len(text) and not text[end].isspace():
                end += 1
            token = text[position:end]
            if "{" in token or "}" in token:
                raise FormatError(
                    f"a brace inside the word {token!r}",
                    where=text,
                    expected="alternatives like { A / B }",
                )
            elements.append(make_word(token, optional=optional, fragments=fragments))
            position = end
    return elements


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return position
    raise FormatError("alternatives are not closed", where=text, expected="{ A / B }")


def _split_alternatives(text: str) -> List[str]:
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character == "{") - (character == "}")
        if character == "/" and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part)
    return [part for part in parts if part.strip()]
