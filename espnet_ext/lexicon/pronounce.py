"""Phonemes of any word: from the lexicon, or by a fallback for words it does not have.

| word                        | phonemes                                             |
|-----------------------------|------------------------------------------------------|
| in the lexicon              | its first pronunciation                              |
| ``[noise]``, ``<unk>``      | one unit of that name, whatever the fallback         |
| others, ``graphemes``       | a unit ``_x`` for each letter or figure x            |
| others, ``unk``             | those of ``<unk>``                                   |
| others, ``none``            | no pronunciation                                     |

Of partial words (``wor-``, ``-out``) graphemes spells what was said. Letters have units
of their own, because the ``c`` of a text is no phoneme ``c``.
"""

import collections
from typing import Counter, Iterable, List, Optional, Sequence

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.lexicon.dictionary import WORD_END, Lexicon, Pronunciation, cased

FALLBACKS = ("none", "graphemes", "unk")
UNKNOWN_WORD = "<unk>"
GRAPHEME = "_"
BRACKETS = ("[", "]"), ("<", ">")
SHOWN_WORDS = 5


def is_special(word: str) -> bool:
    """Whether a word is a mark such as ``[noise]`` or ``<unk>``."""
    return len(word) > 2 and (word[0], word[-1]) in BRACKETS


def marked(phonemes: Pronunciation, word_end: bool = True) -> Pronunciation:
    """Phonemes with the mark of the word end behind the last one."""
    return (*phonemes[:-1], phonemes[-1] + WORD_END) if word_end else phonemes


def graphemes(word: str) -> Pronunciation:
    """Units of the letters and figures of a word; ``_sign`` if it has none."""
    signs = [sign for sign in word.lower() if sign.isalnum()] or ["sign"]
    return tuple(GRAPHEME + sign for sign in signs)


class Pronouncer:
    """Words to phonemes.

    Args:
        lexicon: As ``read_lexicon`` read it.
        fallback: For words that are not in it: one of FALLBACKS.
        case: In which the lexicon's words are: texts are looked up as they are, and in
            this case.

    Attributes:
        missing: How often each word was asked for that is not in the lexicon.

    Raises:
        OptionError: Unknown fallback.
    """

    def __init__(self, lexicon: Lexicon, fallback: str = "none", case: str = "keep"):
        if fallback not in FALLBACKS:
            raise OptionError(
                f"unknown fallback {fallback!r}", expected=", ".join(FALLBACKS)
            )
        self.lexicon, self.fallback, self.case = lexicon, fallback, case
        self.missing: Counter[str] = collections.Counter()

    def __call__(self, word: str) -> Optional[Pronunciation]:
        """Phonemes of a word; None if it has no pronunciation."""
        for name in (word, cased(word, self.case)):
            if name in self.lexicon:
                return self.lexicon[name][0]
        self.missing[word] += 1
        return self.without_lexicon(word)

    def without_lexicon(self, word: str) -> Optional[Pronunciation]:
        """What the fallback makes of a word."""
        if is_special(word):
            return (word,)
        if self.fallback == "graphemes":
            return graphemes(word)
        if self.fallback == "unk":
            return self.lexicon.get(UNKNOWN_WORD, [(UNKNOWN_WORD,)])[0]
        return None

    def tokens(
        self, words: Iterable[str], word_end: bool = True, oov: str = UNKNOWN_WORD
    ) -> List[str]:
        """Tokens of a sentence; words without pronunciation become ``oov``."""
        found: List[str] = []
        for word in words:
            phonemes = self(word)
            found += [oov] if phonemes is None else marked(phonemes, word_end)
        return found

    def unpronounced(self) -> List[str]:
        """Missing words that the fallback cannot help, the most frequent first."""
        return [
            word
            for word, _ in self.missing.most_common()
            if self.without_lexicon(word) is None
        ]

    def check(self, where) -> None:
        """Refuse words without pronunciation.

        Raises:
            FormatError: There are some; names them.
        """
        words = self.unpronounced()
        if words:
            shown = ", ".join(f"{w} ({self.missing[w]}x)" for w in words[:SHOWN_WORDS])
            more = f" ... ({len(words)} in all)" * (len(words) > SHOWN_WORDS)
            raise FormatError(
                f"words that the lexicon does not have: {shown}{more}",
                where=where,
                expected="a pronunciation of each word of the training text",
                next_step="add them to the lexicon, or --lexicon_fallback graphemes",
            )


def units_of(lexicon: Lexicon, word_end: bool = True) -> List[str]:
    """All tokens of a lexicon, sorted."""
    found = {
        token
        for pronunciations in lexicon.values()
        for phonemes in pronunciations
        for token in marked(phonemes, word_end)
    }
    return sorted(found)


def has_word_ends(tokens: Sequence[str]) -> bool:
    """Whether a token list marks the last phoneme of a word."""
    return any(len(token) > 1 and token.endswith(WORD_END) for token in tokens)
