"""Alignment of a hypothesis with a reference at sclite's costs, with its tie rules.

    D(a, b) = min{ D(a', b') + [equal ? 0 : 4],  D(a', b) + 3,  D(a, b') + 3 }

over arcs a, b of the two word networks and their predecessors a', b'. Leaving out (or
inserting) an optional word costs 2 and counts as correct; silence costs 0.001 and does
not count. Of equal paths the substitution wins, then the insertion: without that rule
the counts would differ from sclite's, because 3 substitutions cost as much as
2 deletions with 2 insertions.

Ref: NIST SCTK (public domain), src/sclite/net_dp.c and word.c; checked against sclite
of SCTK 2.4.10.
"""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from espnet_ext.analysis.network import SILENCE, Network, Word, linear_network

SUBSTITUTION, GAP, OPTIONAL_GAP = 4, 3, 2
SILENCE_GAP = np.float32(0.001)
CORRECT_OP, SUB_OP, DEL_OP, INS_OP = "C", "S", "D", "I"


class Pair(NamedTuple):
    """One step of an alignment: ``op`` is C, S, D or I; an absent word is None.

    An optional word that is missing on the other side is a C with one None.
    """

    op: str
    ref: Optional[str]
    hyp: Optional[str]


class Alignment(NamedTuple):
    """The aligned words and their counts."""

    pairs: List[Pair]

    def count(self, op: str) -> int:
        """How many steps are of kind ``op``."""
        return sum(pair.op == op for pair in self.pairs)

    @property
    def words(self) -> int:
        """Reference words: correct, substituted and deleted ones."""
        return len(self.pairs) - self.count(INS_OP)

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return len(self.pairs) - self.count(CORRECT_OP)


def same_word(first: Word, second: Word) -> bool:
    """Whether two words match; fragments match by their beginning or end."""
    one, two = first.key, second.key
    if first.fragment or second.fragment:
        if len(one) > 1 and one[0] == "-":
            return two.endswith(one[1:])
        if len(one) > 1 and one[-1] == "-":
            return two.startswith(one[:-1])
        if len(two) > 1 and two[0] == "-":
            return one.endswith(two[1:])
        if len(two) > 1 and two[-1] == "-":
            return one.startswith(two[:-1])
    return one == two


def align(reference: Network, hypothesis: Network) -> Alignment:
    """Align two networks.

    Returns:
        The cheapest alignment; of several, the one that sclite reports.
    """
    silence = any(
        word is not None and word.text == SILENCE
        for network in (reference, hypothesis)
        for word in network.words
    )
    if reference.linear and hypothesis.linear and not silence:
        return _align_linear(reference.words[1:], hypothesis.words[1:])
    return _align_networks(reference, hypothesis, silence)


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Align two plain sequences of words, without any notation."""
    return align(
        linear_network(Word(text, text) for text in reference),
        linear_network(Word(text, text) for text in hypothesis),
    )


def _pair(ref: Optional[Word], hyp: Optional[Word]) -> Optional[Pair]:
    """One step of the back trace; None where only silence is concerned."""
    if hyp is None:
        if ref.text == SILENCE:
            return None
        return Pair(CORRECT_OP if ref.optional else DEL_OP, ref.text, None)
    if ref is None:
        if hyp.text == SILENCE:
            return None
        return Pair(CORRECT_OP if hyp.optional else INS_OP, None, hyp.text)
    if ref.text == SILENCE and hyp.text == SILENCE:
        return None
    return Pair(CORRECT_OP if same_word(ref, hyp) else SUB_OP, ref.text, hyp.text)


def _align_linear(ref: Sequence[Word], hyp: Sequence[Word]) -> Alignment:
    """The same recursion for two sequences, a row at a time."""
    numbers = {}
    ref_keys = np.array([numbers.setdefault(w.key, len(numbers)) for w in ref], int)
    hyp_keys = np.array([numbers.setdefault(w.key, len(numbers)) for w in hyp], int)
    substitution = (ref_keys[:, None] != hyp_keys[None, :]) * SUBSTITUTION
    for a, word in enumerate(ref):
        if word.fragment:
            for b, other in enumerate(hyp):
                substitution[a, b] = 0 if same_word(word, other) else SUBSTITUTION
    for b, word in enumerate(hyp):
        if word.fragment:
            for a, other in enumerate(ref):
                substitution[a, b] = 0 if same_word(other, word) else SUBSTITUTION
    delete = [OPTIONAL_GAP if word.optional else GAP for word in ref]
    insert = [OPTIONAL_GAP if word.optional else GAP for word in hyp]

    inserted = np.zeros(len(hyp) + 1, int)
    np.cumsum(insert, out=inserted[1:])
    rows = [inserted]
    for a in range(len(ref)):
        above = rows[-1]
        row = above + delete[a]
        np.minimum(row[1:], above[:-1] + substitution[a], out=row[1:])
        # an insertion adds the cost of its column, so the best chain of insertions is a
        # running minimum once those costs are taken off
        row -= inserted
        np.minimum.accumulate(row, out=row)
        row += inserted
        rows.append(row)

    costs = [row.tolist() for row in rows]
    substitution = substitution.tolist()
    pairs: List[Pair] = []
    a, b = len(ref), len(hyp)
    while a or b:
        if a and b:
            by_substitution = costs[a - 1][b - 1] + substitution[a - 1][b - 1]
            by_deletion = costs[a - 1][b] + delete[a - 1]
            by_insertion = costs[a][b - 1] + insert[b - 1]
            if by_substitution <= by_deletion and by_substitution <= by_insertion:
                step = (1, 1)
            else:
                step = (1, 0) if by_deletion < by_insertion else (0, 1)
        else:
            step = (1, 0) if a else (0, 1)
        pairs.append(
            _pair(ref[a - 1] if step[0] else None, hyp[b - 1] if step[1] else None)
        )
        a, b = a - step[0], b - step[1]
    pairs.reverse()
    return Alignment(pairs)


def _gap_cost(word: Word, number):
    if word.text == SILENCE:
        return SILENCE_GAP
    return number(OPTIONAL_GAP if word.optional else GAP)


def _align_networks(ref: Network, hyp: Network, silence: bool) -> Alignment:
    # sclite adds in single precision; with thousandths in play its rounding decides
    # ties, so the sums are rounded the same way
    number = np.float32 if silence else int
    one, zero, four = number(1), number(0), number(SUBSTITUTION)
    rows, columns = len(ref.words), len(hyp.words)
    cost = [[zero] * columns for _ in range(rows)]
    back = [[(-1, -1)] * columns for _ in range(rows)]
    insert = [None] + [_gap_cost(word, number) for word in hyp.words[1:]]

    for b in range(1, columns):
        before = min(hyp.previous[b], key=cost[0].__getitem__)
        cost[0][b] = cost[0][before] + insert[b]
        back[0][b] = (0, before)
    for a in range(1, rows):
        word = ref.words[a]
        delete = _gap_cost(word, number)
        before_a = ref.previous[a]
        above = min(before_a, key=lambda arc: cost[arc][0])
        cost[a][0] = cost[above][0] + delete
        back[a][0] = (above, 0)
        for b in range(1, columns):
            other = hyp.words[b]
            # min() keeps the first of equals, which is the first alternative written
            before_b = hyp.previous[b]
            ins_b = min(before_b, key=cost[a].__getitem__)
            del_a = min(before_a, key=lambda arc: cost[arc][b])
            sub_a, sub_b = min(
                ((x, y) for x in before_a for y in before_b),
                key=lambda cell: cost[cell[0]][cell[1]],
            )
            if word.text == SILENCE and other.text == SILENCE:
                mismatch = one
            else:
                mismatch = zero if same_word(word, other) else four
            by_insertion = cost[a][ins_b] + insert[b]
            by_deletion = cost[del_a][b] + delete
            by_substitution = cost[sub_a][sub_b] + mismatch
            if by_substitution <= by_deletion and by_substitution <= by_insertion:
                cost[a][b], back[a][b] = by_substitution, (sub_a, sub_b)
            elif by_deletion < by_insertion:
                cost[a][b], back[a][b] = by_deletion, (del_a, b)
            else:
                cost[a][b], back[a][b] = by_insertion, (a, ins_b)

    a, b = min(
        ((x, y) for x in ref.final for y in hyp.final),
        key=lambda cell: cost[cell[0]][cell[1]],
    )
    pairs: List[Pair] = []
    while a or b:
        next_a, next_b = back[a][b]
        pair = _pair(
            None if next_a == a else ref.words[a], None if next_b == b else hyp.words[b]
        )
        if pair is not None:
            pairs.append(pair)
        a, b = next_a, next_b
    pairs.reverse()
    return Alignment(pairs)
