"""Results of a search over words, out of the paths through the prefix tree."""

# Dimensions: B batch, K hypotheses, T frames
import math
from typing import Dict, List, NamedTuple, Sequence, Tuple

import torch

from espnet_ext.asr.search.beam import NO_STEP
from espnet_ext.asr.search.prefix_tree import NO_WORD, ROOT, PrefixTree

# what an entry did in a frame: blank, its last label once more, or arc code - FIRST_ARC
STAY, REPEAT, FIRST_ARC = 0, 1, 2


class WordEntry(NamedTuple):
    """One result.

    Attributes:
        score: Log score, language model included.
        labels: Of the best path.
        symbols: The symbol of each frame; a label stands in its first frame.
        words: The words.
        ends: Number of labels up to the end of each word.
        complete: False where no hypothesis of the beam ended with a word: then the
            unfinished word of the best one was left out.
    """

    score: float
    labels: List[int]
    symbols: List[int]
    words: List[str]
    ends: List[int]
    complete: bool = True


def word_entries(
    tree: PrefixTree,
    paths_BKT: torch.Tensor,
    scores_BK: torch.Tensor,
    nodes_BK: torch.Tensor,
    word_keys_BK: torch.Tensor,
    rule: str,
) -> List[List[WordEntry]]:
    """N-best lists of word sequences, best first.

    Args:
        tree: That was searched.
        paths_BKT: Codes of what was done, NO_STEP after the end.
        scores_BK: Final scores, -inf for empty places.
        nodes_BK: Where an entry ended.
        word_keys_BK: Equal for the same words.
        rule: ``sum`` or ``max`` of the entries of a word sequence.
    """
    results = []
    for paths, scores, nodes, keys in zip(
        paths_BKT, scores_BK.tolist(), nodes_BK.tolist(), word_keys_BK.tolist()
    ):
        alive = [k for k, score in enumerate(scores) if score > -math.inf]
        whole = [k for k in alive if nodes[k] == ROOT]
        groups: Dict[int, List[int]] = {}
        for k in sorted(whole, key=lambda k: -scores[k]):
            groups.setdefault(keys[k], []).append(k)
        if not whole:
            best = max(alive, key=lambda k: scores[k])
            groups = {0: [best]}
        entries = []
        for members in groups.values():
            score = scores[members[0]]
            if rule == "sum":
                score += math.log(sum(math.exp(scores[k] - score) for k in members))
            parts = _read(tree, paths[members[0]].tolist())
            entries.append(WordEntry(score, *parts, complete=bool(whole)))
        results.append(sorted(entries, key=lambda entry: -entry.score))
    return results


def _read(
    tree: PrefixTree, codes: Sequence[int]
) -> Tuple[List[int], List[int], List[str], List[int]]:
    """Labels, symbols, words and their ends of a path; without an unfinished word."""
    labels: List[int] = []
    symbols: List[int] = []
    words: List[str] = []
    ends: List[int] = []
    for code in codes:
        if code == NO_STEP:
            break
        symbols.append(0)
        if code < FIRST_ARC:
            continue
        arc = code - FIRST_ARC
        symbols[-1] = int(tree.label_A[arc])
        labels.append(symbols[-1])
        if tree.word_A[arc] != NO_WORD:
            words.append(tree.words[tree.word_A[arc]])
            ends.append(len(labels))
    finished = ends[-1] if ends else 0
    for frame in reversed(range(len(symbols))):
        if len(labels) == finished:
            break
        if symbols[frame]:
            symbols[frame] = 0
            labels.pop()
    return labels, symbols, words, ends
