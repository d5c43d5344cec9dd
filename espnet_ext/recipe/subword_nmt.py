"""Word pieces of the subword-nmt package: merges, vocabulary, texts cut with ``@@``.

ESPnet reads sentencepiece models only. So the recipe cuts the texts itself
(``the h@@ ouse``), ESPnet sees them as plain words (token type ``word``), and stage 12
joins what was recognised.

The conventions are those of the original experiments: ``--nbpe`` is the number of
merges; the vocabulary holds the pieces that occur in the training text, the most
frequent first, equal counts in the order of characters; a merge that would give a piece
outside the vocabulary is undone. Our ids are then the original's, with blank in the
place of its BOS (id 0) and BOS behind all others. A piece that is still unknown is an
error in the training text and ``<unk>`` elsewhere.

Ref: Sennrich, Haddow and Birch, 2016, section 3.2; reference/data.md section 3; the
vocabulary file is that of RETURNN's BytePairEncoding.
"""

import ast
import collections
import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Callable, Collection, Dict, List, Optional, Sequence

from espnet_ext.errors import FormatError, ToolMissingError
from espnet_ext.files import atomic_write, read_lines

JOINER = "@@"
BOS, EOS, UNKNOWN = "<s>", "</s>", "UNK"  # as the original's vocabularies have them
SHOWN_PIECES = 5
Cutter = Callable[[str], List[str]]


def vocabulary_file(codes: Path) -> Path:
    """Where the vocabulary of some merges lies: beside them."""
    return codes.with_suffix(".vocab")


def _package():
    try:
        from subword_nmt import apply_bpe, learn_bpe
    except ImportError:
        raise ToolMissingError(
            "the package subword-nmt is not installed",
            where="--bpemode subword_nmt",
            next_step="pip install subword-nmt",
        ) from None
    return learn_bpe, apply_bpe


def learn(
    sentences: Sequence[str], merges: int, codes: Path, whole: Collection[str] = ()
) -> List[str]:
    """Learn merges, write them to ``codes`` and their vocabulary beside it.

    Args:
        sentences: The training text.
        merges: How many pairs to merge; fewer if the text has no more.
        codes: The file to write.
        whole: Words that are never cut, such as noise tags.

    Returns:
        The pieces of the text, the most frequent first.
    """
    learn_bpe, _ = _package()
    kept_out = frozenset(whole)
    text = io.StringIO(
        "".join(
            " ".join(word for word in sentence.split() if word not in kept_out) + "\n"
            for sentence in sentences
        )
    )
    # its bar is welcome on a terminal and noise in a log
    quiet = contextlib.nullcontext()
    if not sys.stderr.isatty():
        quiet = contextlib.redirect_stderr(io.StringIO())
    with atomic_write(codes) as file, quiet:
        learn_bpe.learn_bpe(text, file, merges)
    pieces = pieces_of(sentences, cutter(codes, whole=whole))
    write_vocabulary(pieces, vocabulary_file(codes))
    return pieces


def pieces_of(sentences: Sequence[str], cut: Cutter) -> List[str]:
    """The pieces of a text, the most frequent first."""
    counts: collections.Counter = collections.Counter()
    for sentence in sentences:
        counts.update(cut(sentence))
    return [p for p, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def take_over(
    codes: Path, vocabulary: Optional[Path], target: Path, sentences: Sequence[str]
) -> List[str]:
    """Copy merges that exist, and their vocabulary to a place beside them.

    Args:
        codes: The merges.
        vocabulary: Their vocabulary; None: the pieces of ``sentences``.
        target: Where the merges are wanted.
        sentences: The training text.

    Returns:
        The pieces in the order of the vocabulary.

    Raises:
        MissingInputError, FormatError: One of the files is not there or not as named.
    """
    with atomic_write(target) as file:
        file.writelines(line + "\n" for line in read_lines(codes))
    pieces = (
        pieces_of(sentences, cutter(target))
        if vocabulary is None
        else read_vocabulary(vocabulary)
    )
    write_vocabulary(pieces, vocabulary_file(target))
    return pieces


def load_cutter(codes: Path, whole: Collection[str] = ()) -> Cutter:
    """A function that cuts sentences as the training text was cut."""
    return cutter(codes, read_vocabulary(vocabulary_file(codes)), whole)


def cutter(
    codes: Path, pieces: Collection[str] = (), whole: Collection[str] = ()
) -> Cutter:
    """A function that cuts a sentence into pieces.

    Args:
        codes: The merges.
        pieces: Undo merges that give anything else; empty: keep all.
        whole: Words that are never cut.
    """
    _, apply_bpe = _package()
    with open(codes, encoding="utf-8") as file:
        bpe = apply_bpe.BPE(
            file,
            vocab=set(pieces) or None,
            glossaries=[re.escape(word) for word in whole],
        )
    return lambda sentence: bpe.process_line(sentence).split()


def count_merges(codes: Path) -> int:
    """Number of merges in a file of subword-nmt."""
    lines = [line for line in read_lines(codes) if line.strip()]
    return len(lines) - lines[0].startswith("#version") if lines else 0


def write_vocabulary(pieces: Sequence[str], path: Path) -> None:
    """Write ``{'<s>': 0, '</s>': 0, 'UNK': 1, piece: 2, ...}``, as RETURNN reads it."""
    labels = [(BOS, 0), (EOS, 0), (UNKNOWN, 1)]
    labels += [(piece, number) for number, piece in enumerate(pieces, start=2)]
    with atomic_write(path) as file:
        file.write("{\n")
        file.writelines(f"{label!r}: {number},\n" for label, number in labels)
        file.write("}\n")


def read_vocabulary(path: Path) -> List[str]:
    """The pieces of such a file in the order of their numbers.

    Raises:
        FormatError: It is no such file, or its numbers have gaps.
    """
    expected = f"{{'{BOS}': 0, '{EOS}': 0, '{UNKNOWN}': 1, PIECE: 2, ...}}"
    try:
        content = ast.literal_eval("\n".join(read_lines(path)))
        special = [content.pop(label) for label in (BOS, EOS)]
        by_number: Dict[int, str] = {number: piece for piece, number in content.items()}
    except (ValueError, SyntaxError, KeyError, AttributeError, TypeError) as error:
        raise FormatError(
            f"not a vocabulary: {error}", where=path, expected=expected
        ) from None
    if special != [0, 0] or sorted(by_number) != list(range(1, len(content) + 1)):
        raise FormatError("numbers are not in a row", where=path, expected=expected)
    # number 1 is the unknown label, whatever it is called
    return [by_number[number] for number in range(2, len(content) + 1)]


def cut_file(
    source: Path,
    target: Path,
    cut: Cutter,
    known: Collection[str],
    must_be_known: bool = False,
) -> str:
    """Cut a text file (utterance id first); returns what was written.

    Raises:
        FormatError: ``must_be_known``, and a piece is not in the vocabulary.
    """
    known = frozenset(known)
    lines, words, count = [], 0, 0
    unknown: Dict[str, str] = {}
    for line in read_lines(source):
        utterance, _, text = line.partition(" ")
        pieces = cut(text)
        count, words = count + len(pieces), words + len(text.split())
        for piece in known and set(pieces).difference(known):
            unknown.setdefault(piece, utterance)
        lines.append(f"{utterance} {' '.join(pieces)}\n")
    if unknown and must_be_known:
        shown = ", ".join(
            f"{p!r} in {u}" for p, u in list(unknown.items())[:SHOWN_PIECES]
        )
        raise FormatError(
            f"{len(unknown)} piece(s) are not in the vocabulary: {shown}",
            where=source,
            expected="a training text whose characters are all in the vocabulary",
            next_step="learn the pieces from a text that has them: --bpe_train_text",
        )
    with atomic_write(target) as file:
        file.writelines(lines)
    note = f", {len(unknown)} different ones unknown" if unknown else ""
    return f"{words} words, {count} pieces{note} ({target})"


def join(text: str) -> str:
    """Put pieces together: ``the h@@ ouse`` becomes ``the house``.

    A mark at the very end is dropped; in the original it stays in the word.
    """
    joined = f"{text} ".replace(f"{JOINER} ", "")
    return " ".join(joined.split())
