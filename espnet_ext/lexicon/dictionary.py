"""Reads and writes pronunciation dictionaries.

| dictionary           | lines                                                        |
|----------------------|--------------------------------------------------------------|
| CMUdict 0.7          | ``;;;`` comments, ``WORD  W ER1 D``, ``WORD(1)`` variants    |
| CMUdict (2015 on)    | ``word W ER1 D # comment``, ``word(2)`` variants             |
| sw-ms98-dict.text    | ``#`` comments, ``&amp;``, ``word_1`` variants               |
| Kaldi's lexicon.txt  | tabs or blanks, a word again for each variant                |

The pronunciations of a word keep the order of the file; equal ones count once.
"""

import re
from pathlib import Path
from typing import Dict, List, Tuple

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import PathLike, atomic_write, read_lines

Pronunciation = Tuple[str, ...]
Lexicon = Dict[str, List[Pronunciation]]

WORD_END = "#"  # behind the last phoneme of a word in token lists
CASES = {"keep": str, "lower": str.lower, "upper": str.upper}
STRESSES = ("keep", "strip")
COMMENT = ";;;"
OLD_ENCODING = "latin-1"
VARIANT = re.compile(r"^(.+)\(\d+\)$")
MS98_VARIANT = re.compile(r"_\d+")
MS98 = "ms98"  # in the name of the file
STRESS = re.compile(r"(?<=\D)\d+$")


def cased(word: str, case: str) -> str:
    """A word in the wanted case.

    Raises:
        OptionError: Unknown case.
    """
    if case not in CASES:
        raise OptionError(f"unknown case {case!r}", expected=", ".join(CASES))
    return CASES[case](word)


def read_lexicon(path: PathLike, case: str = "keep", stress: str = "keep") -> Lexicon:
    """The pronunciations of each word, in the order of the file.

    Args:
        path: A dictionary of one of the formats above, UTF-8 or Latin-1.
        case: ``keep``, ``lower`` or ``upper`` for the words; phonemes stay as they are.
        stress: ``strip`` removes digits at the end of phonemes (``AH0`` is ``AH``).

    Raises:
        MissingInputError: The file does not exist.
        FormatError: A word has no phoneme, a phoneme has the mark of word ends, or
            there is no word; names the line.
        OptionError: Unknown ``case`` or ``stress``.
    """
    if stress not in STRESSES:
        raise OptionError(f"unknown stress {stress!r}", expected=", ".join(STRESSES))
    lines = read_lines(path, or_else=OLD_ENCODING)
    # CMUdict 0.7 has words such as #HASH-MARK, and comments of its own
    hash_comments = not any(line.startswith(COMMENT) for line in lines)
    numbered = MS98 in Path(path).name
    lexicon: Lexicon = {}
    for number, line in enumerate(lines, start=1):
        comment = COMMENT, "##", *["#"] * hash_comments
        if not line.strip() or line.lstrip().startswith(comment):
            continue
        word, *phonemes = line.replace("&amp;", "&").split()
        ends = [n for n, phoneme in enumerate(phonemes) if phoneme.startswith("#")]
        phonemes = phonemes[: ends[0]] if ends else phonemes
        _check(word, phonemes, f"{path} line {number}")
        variant = VARIANT.match(word)
        word = variant.group(1) if variant else word
        if numbered:
            word = MS98_VARIANT.sub("", word) or word
        if stress == "strip":
            phonemes = [STRESS.sub("", phoneme) for phoneme in phonemes]
        known = lexicon.setdefault(cased(word, case), [])
        if tuple(phonemes) not in known:
            known.append(tuple(phonemes))
    if not lexicon:
        raise FormatError(
            "there is no word", where=path, expected="lines WORD PHONEME PHONEME ..."
        )
    return lexicon


def _check(word: str, phonemes: List[str], where: str) -> None:
    if not phonemes:
        raise FormatError(
            f"{word!r} has no phonemes",
            where=where,
            expected="WORD PHONEME PHONEME ...",
            next_step="write its phonemes, or remove the line",
        )
    marked = [phoneme for phoneme in phonemes if phoneme.endswith(WORD_END)]
    if marked:
        raise FormatError(
            f"phoneme {marked[0]!r} of {word!r} ends in {WORD_END!r}",
            where=where,
            expected=f"phonemes without {WORD_END!r}, which marks word ends in tokens",
            next_step="remove the mark; it is added in training",
        )


def write_lexicon(lexicon: Lexicon, path: PathLike) -> None:
    """Write a lexicon so that ``read_lexicon`` reads the same."""
    with atomic_write(path) as file:
        # the first line also says that '#' begins no comment
        file.write(f"{COMMENT} WORD PHONEME PHONEME ...\n")
        for word, pronunciations in lexicon.items():
            for number, phonemes in enumerate(pronunciations, start=1):
                name = word if number == 1 else f"{word}({number})"
                file.write(f"{name}\t{' '.join(phonemes)}\n")
