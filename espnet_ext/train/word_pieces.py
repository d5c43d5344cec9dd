"""Other ways to cut a word into the pieces of a vocabulary, drawn at random.

Depth-first search over a prefix tree. At each character two continuations are tried,
the piece goes on or a new piece begins; normally the longer piece first, with
probability ``breadth_probability`` the new piece first. The first complete cut counts.
With probability 0 this is the cut into pieces as long as possible from the left, which
is not the one of the merges.

Source: reference/parts.md 2.4 (bpesample); RETURNN, ``SamplingBytePairEncoder``.
"""

from typing import Callable, Iterable, List, Optional, Set, Tuple

JOINER = "@@"  # subword-nmt: behind a piece that does not end its word
WORD_START = "\u2581"  # sentencepiece: before a piece that begins a word


class WordPieces:
    """The pieces of a vocabulary, of subword-nmt's or of sentencepiece's form.

    Args:
        tokens: The vocabulary.
        special: Tokens that are no pieces, such as ``<blank>``.
    """

    def __init__(self, tokens: Iterable[str], special: Iterable[str] = ()):
        pieces = [token for token in tokens if token not in set(special)]
        self.begins_words = any(piece.startswith(WORD_START) for piece in pieces)
        if self.begins_words:
            self.inner = self.last = frozenset(pieces)
        else:
            inner = [piece for piece in pieces if _continues(piece)]
            self.inner = frozenset(p.removesuffix(JOINER) for p in inner)
            self.last = frozenset(pieces).difference(inner)
        prefixes: Set[str] = set()
        for piece in self.inner | self.last:
            prefixes.update(piece[:end] for end in range(1, len(piece) + 1))
        self.prefixes = frozenset(prefixes)

    def cut(
        self, word: str, new_piece_first: Callable[[], bool]
    ) -> Optional[List[str]]:
        """One cut of a word into tokens of the vocabulary, None if there is none.

        Args:
            word: Without marks.
            new_piece_first: Asked at each character, whether to try a new piece first.
        """
        text = WORD_START + word if self.begins_words else word
        if not text:
            return None
        # (where each piece so far begins, how far the text has been read)
        open_cuts: List[Tuple[Tuple[int, ...], int]] = [((0,), 0)]
        while open_cuts:
            begins, position = open_cuts.pop()
            if position == len(text):
                if text[begins[-1] :] in self.last:
                    return self._tokens(text, begins)
                continue
            options = []
            current = text[begins[-1] : position]
            if current in self.inner and text[position] in self.prefixes:
                options.append(((*begins, position), position + 1))
            if current + text[position] in self.prefixes:
                options.append((begins, position + 1))
            if new_piece_first():
                options.reverse()
            open_cuts += options
        return None

    def _tokens(self, text: str, begins: Tuple[int, ...]) -> List[str]:
        ends = (*begins[1:], len(text))
        pieces = [text[begin:end] for begin, end in zip(begins, ends)]
        if self.begins_words:
            return pieces
        return [piece + JOINER for piece in pieces[:-1]] + pieces[-1:]


def _continues(token: str) -> bool:
    return token.endswith(JOINER) and token != JOINER


def words_of(tokens: Iterable[str]) -> List[Tuple[str, List[str]]]:
    """Words and their pieces: ``h@@ ouse`` is ``house``, a plain word is itself."""
    words: List[Tuple[str, List[str]]] = []
    pieces: List[str] = []
    for token in tokens:
        pieces.append(token)
        if not _continues(token):
            words.append((_joined(pieces), pieces))
            pieces = []
    if pieces:  # a mark at the very end
        words.append((_joined(pieces), pieces))
    return words


def _joined(pieces: List[str]) -> str:
    return "".join(p.removesuffix(JOINER) if _continues(p) else p for p in pieces)
