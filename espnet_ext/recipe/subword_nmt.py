"""Word pieces of the subword-nmt package: merges, and texts cut with ``@@``.

ESPnet reads sentencepiece models only. So the recipe cuts the texts itself
(``the h@@ ouse``), ESPnet sees them as plain words (token type ``word``), and stage 12
joins what was recognised. ``--nbpe`` is the number of merges, as in the published
Switchboard systems; the list gets longer by the single characters.
Ref: Sennrich, Haddow and Birch, 2016, section 3.2.
"""

import collections
import contextlib
import io
import sys
from pathlib import Path
from typing import Callable, List, Sequence

from espnet_ext.errors import ToolMissingError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe.layout import Layout

JOINER = "@@"


def cut_text(layout: Layout, name: str) -> Path:
    """Where the cut text of a set lies."""
    return layout.token_dir("bpe") / "text" / name


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


def learn(sentences: Sequence[str], merges: int, codes: Path) -> List[str]:
    """Learn merges, write them to ``codes``, and return the pieces by frequency."""
    learn_bpe, apply_bpe = _package()
    text = io.StringIO("".join(sentence + "\n" for sentence in sentences))
    # its bar is welcome on a terminal and noise in a log
    quiet = contextlib.nullcontext()
    if not sys.stderr.isatty():
        quiet = contextlib.redirect_stderr(io.StringIO())
    with atomic_write(codes) as file, quiet:
        learn_bpe.learn_bpe(text, file, merges)
    cut_line = cutter(codes)
    counts: collections.Counter = collections.Counter()
    for sentence in sentences:
        counts.update(cut_line(sentence))
    # a character that always merges is no piece of the text, but can be of another
    for sentence in sentences:
        for word in sentence.split():
            for character in word[:-1]:
                counts.setdefault(character + JOINER, 0)
            counts.setdefault(word[-1], 0)
    return [piece for piece, _ in sorted(counts.items(), key=lambda p: (-p[1], p[0]))]


def cutter(codes: Path) -> Callable[[str], List[str]]:
    """A function that cuts a sentence into pieces."""
    _, apply_bpe = _package()
    with open(codes, encoding="utf-8") as file:
        bpe = apply_bpe.BPE(file)
    return lambda sentence: bpe.process_line(sentence).split()


def cut_file(source: Path, target: Path, codes: Path) -> str:
    """Cut a text file (utterance id first); returns what was written."""
    cut_line = cutter(codes)
    lines, pieces, words = [], 0, 0
    for line in read_lines(source):
        utterance, _, text = line.partition(" ")
        cut = cut_line(text)
        pieces, words = pieces + len(cut), words + len(text.split())
        lines.append(f"{utterance} {' '.join(cut)}\n")
    with atomic_write(target) as file:
        file.writelines(lines)
    return f"{words} words, {pieces} pieces ({target})"


def join(text: str) -> str:
    """Put pieces together: ``the h@@ ouse`` becomes ``the house``."""
    joined = f"{text} ".replace(f"{JOINER} ", "")
    return " ".join(joined.split())
