"""n-gram models as ARPA files, the text format of SRILM, KenLM and most others."""

import math
import re
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike, atomic_write, read_lines
from espnet_ext.lm.ngram import BOS, EOS, ROOT, UNK, NgramModel, find_child

LOG_10 = math.log(10.0)
COUNT = re.compile(r"ngram +(\d+) *= *(\d+)")
SECTION = re.compile(r"\\(\d+)-grams:")
UNK_LOG10 = -100.0  # where a file has no <unk>; KenLM takes the same


def write_arpa(model: NgramModel, path: PathLike) -> None:
    """Write a model; nine digits, so that reading it gives the same scores."""
    with atomic_write(path) as file:
        file.write("\\data\\\n")
        for order, count in enumerate(model.counts(), start=1):
            file.write(f"ngram {order}={count}\n")
        texts: List[str] = [""]
        for order in range(1, model.order + 1):
            first, end = model.starts[order - 1 : order + 1]
            below = 0 if order == 1 else model.starts[order - 2]
            parents = (model.parent[first:end] - below).tolist()
            words = [model.words[w] for w in model.word[first:end].tolist()]
            texts = [f"{texts[p]} {w}".lstrip(" ") for p, w in zip(parents, words)]
            log_probs = (model.log_prob[first:end] / LOG_10).tolist()
            backoffs = (model.backoff[first:end] / LOG_10).tolist()
            file.write(f"\n\\{order}-grams:\n")
            file.writelines(
                f"{p:.9g}\t{text}\t{b:.9g}\n" if b else f"{p:.9g}\t{text}\n"
                for p, text, b in zip(log_probs, texts, backoffs)
            )
        file.write("\n\\end\\\n")


def read_arpa(path: PathLike) -> NgramModel:
    """Read a model of any order, also a pruned one.

    Raises:
        MissingInputError: The file does not exist.
        FormatError: It is no ARPA file, is cut off, or lacks an n-gram that a longer
            one extends; names the line.
    """
    sections = _sections(Path(path))
    words = [text for _, text, _ in sections[0]]
    missing = [symbol for symbol in (BOS, EOS) if symbol not in words]
    if missing or len(set(words)) != len(words):
        raise FormatError(
            f"no {missing[0]}" if missing else "a word is there twice",
            where=f"{path} \\1-grams:",
            expected="each word, <s> and </s> once",
        )
    if UNK not in words:
        words.append(UNK)
        sections[0].append((UNK_LOG10, UNK, 0.0))
    index = {word: number for number, word in enumerate(words)}
    parent = np.zeros(len(words) + 1, dtype=np.int64)
    word = np.concatenate([[0], np.arange(len(words))])
    suffix = np.zeros(len(words) + 1, dtype=np.int64)
    values = np.array([(0.0, 0.0), *((p, b) for p, _, b in sections[0])])
    starts = [1, len(words) + 1]
    for order, section in enumerate(sections[1:], start=2):
        ids = _ids(section, order, index, path)
        keys = parent[1:] * len(words) + word[1:]
        contexts = _walk(keys, ids[:, :-1], len(words))
        if (contexts == ROOT).any():
            text = section[int(np.argmin(contexts))][1]
            raise FormatError(
                f"'{text}' is there, but not its beginning '{text.rpartition(' ')[0]}'",
                where=f"{path} \\{order}-grams:",
            )
        suffixes = np.zeros(len(ids), dtype=np.int64)
        for begin in range(order - 1, 0, -1):  # the longest is found last
            found = _walk(keys, ids[:, begin:], len(words))
            suffixes = np.where(found != ROOT, found, suffixes)
        rank = np.lexsort((ids[:, -1], contexts))
        parent = np.concatenate([parent, contexts[rank]])
        word = np.concatenate([word, ids[rank, -1]])
        suffix = np.concatenate([suffix, suffixes[rank]])
        pairs = np.array([(p, b) for p, _, b in section]).reshape(-1, 2)
        values = np.concatenate([values, pairs[rank]])
        starts.append(len(parent))
    log_prob, backoff = values.T * LOG_10
    return NgramModel(words, starts, parent, word, suffix, log_prob, backoff)


def _walk(keys: np.ndarray, ids: np.ndarray, words: int) -> np.ndarray:
    """Nodes of the n-grams in the rows of ``ids``, the root where not stored."""
    node = np.zeros(len(ids), dtype=np.int64)
    alive = np.ones(len(ids), dtype=bool)
    for column in ids.T:
        node = find_child(keys, node, column, words)
        alive &= node != ROOT  # or else the walk would begin anew at the root
    return np.where(alive, node, ROOT)


def _ids(section, order: int, index: Dict[str, int], path: PathLike) -> np.ndarray:
    try:
        rows = [[index[word] for word in text.split(" ")] for _, text, _ in section]
    except KeyError as error:
        raise FormatError(
            f"the word {error} is not among the 1-grams",
            where=f"{path} \\{order}-grams:",
        ) from None
    return np.array(rows, dtype=np.int64).reshape(-1, order)


def _sections(path: Path) -> List[List[Tuple[float, str, float]]]:
    """(log10 probability, words, log10 back-off weight) of each n-gram by order."""
    lines = enumerate(read_lines(path), start=1)
    counts = _header(path, lines)
    sections: List[List[Tuple[float, str, float]]] = []
    number = 0
    for number, line in lines:
        line = line.strip(" \t")
        if line == "\\end\\":
            break
        if SECTION.fullmatch(line):
            sections.append([])
        elif line:
            # some writers put blanks where others put tabs
            fields = line.replace("\t", " ").split(" ")
            order = len(sections)
            try:
                backoff = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
                words = " ".join(fields[1 : order + 1])
                if not order <= len(fields) - 1 <= order + 1:
                    raise ValueError
                sections[-1].append((float(fields[0]), words, backoff))
            except (ValueError, IndexError):
                raise FormatError(
                    f"{line!r} is no {order}-gram",
                    where=f"{path} line {number}",
                    expected=f"a number, {order} word(s), and perhaps a number",
                ) from None
    else:
        raise FormatError(
            "ends without \\end\\", where=f"{path} line {number}", expected="all of it"
        )
    if [len(section) for section in sections] != counts:
        raise FormatError(
            f"has {[len(section) for section in sections]} n-grams",
            where=path,
            expected=f"{counts}, as its head says",
        )
    return sections


def _header(path: Path, lines: Iterator[Tuple[int, str]]) -> List[int]:
    """Numbers of n-grams; reads up to the empty line after them."""
    counts: List[int] = []
    for _, line in lines:
        match = COUNT.fullmatch(line.strip())
        if match and int(match[1]) == len(counts) + 1:
            counts.append(int(match[2]))
        elif counts and not line.strip():
            return counts
    raise FormatError("no table of n-gram numbers", where=path, expected="an ARPA file")
