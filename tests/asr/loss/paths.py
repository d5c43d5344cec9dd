"""All alignments of a label sequence, by enumeration: the oracle for every topology.

An alignment is spelled as a row of moves: ``b`` blank, ``l`` the next label, ``r`` the
last label once more. What a topology allows is a predicate on the whole row, so that
nothing here looks like a recursion.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch

TOPOLOGY_NAMES = (
    "rna",
    "rnnt",
    "ctc",
    "label_loop",
    "label_loop_free",
    "label_loop_original",
)
STRICT = ("ctc", "label_loop")


class Step(NamedTuple):
    """One symbol of an alignment and where its score stands."""

    frame: int
    position: int
    symbol: int


def spelled(moves, labels, blank, label_takes_frame):
    """The steps of a row of moves."""
    steps, frame, position = [], 0, 0
    for move in moves:
        if move == "b":
            symbol = blank
        else:
            symbol = labels[position] if move == "l" else labels[position - 1]
        steps.append(Step(frame, position, symbol))
        position += move == "l"
        frame += move != "l" or label_takes_frame
    return steps


def collapsed(symbols, blank):
    """CTC's rule: merge equal neighbours, then remove blanks."""
    return [symbol for symbol, _ in itertools.groupby(symbols) if symbol != blank]


def is_allowed(moves, topology):
    """What a topology demands of moves, whatever the labels are."""
    row = "".join(moves)
    if "r" not in row:
        return topology != "rnnt" or row == "" or row[-1] == "b"
    if "l" not in row[: row.find("r")]:
        return False
    if topology in STRICT:
        return "br" not in row
    if topology == "label_loop_original":
        # not on the diagonal, where every frame so far was a new label
        return "b" in row[: row.find("r")]
    return topology == "label_loop_free"


def alignments(topology, frames, labels, blank):
    """Every alignment, as a list of steps."""
    count = len(labels)
    in_frame = topology != "rnnt"
    letters = "bl" if topology in ("rna", "rnnt") else "blr"
    for moves in itertools.product(letters, repeat=frames + (0 if in_frame else count)):
        if moves.count("l") != count or not is_allowed(moves, topology):
            continue
        steps = spelled(moves, labels, blank, in_frame)
        symbols = [step.symbol for step in steps]
        if topology in STRICT and collapsed(symbols, blank) != list(labels):
            continue
        yield steps


class Enumerated(NamedTuple):
    """What all alignments of one sequence say.

    Attributes:
        nll: -log of their summed probability; inf if there is none.
        gradient_TSV: Of nll at the scores.
        best_score: Of the best alignment; -inf if there is none.
        best: Its symbols.
        nodes_TS: Which nodes any alignment visits.
        count: How many there are.
    """

    nll: float
    gradient_TSV: np.ndarray
    best_score: float
    best: list
    nodes_TS: np.ndarray
    count: int


def enumerate_all(scores_TSV, topology, frames, labels, blank):
    """Everything about one sequence, from explicit alignments, in float64."""
    table = scores_TSV.detach().double().numpy()
    paths = list(alignments(topology, frames, labels, blank))
    gradient, nodes = np.zeros(table.shape), np.zeros(table.shape[:2], dtype=bool)
    for path in paths:
        for step in path:
            nodes[step.frame, step.position] = True
    if not paths:
        return Enumerated(math.inf, gradient, -math.inf, [], nodes, 0)
    scores = [math.fsum(table[step] for step in path) for path in paths]
    top = max(scores)
    total = top + math.log(math.fsum(math.exp(score - top) for score in scores))
    for path, score in zip(paths, scores):
        for step in path:
            gradient[step] -= math.exp(score - total)
    best = [step.symbol for step in paths[scores.index(top)]]
    return Enumerated(-total, gradient, top, best, nodes, len(paths))


def path_score(log_probs_TSV, symbols, blank):
    """Log score of one RNA alignment; the context is the number of labels so far."""
    score, emitted = 0.0, 0
    for t, symbol in enumerate(symbols):
        score += float(log_probs_TSV[t, emitted, symbol])
        emitted += symbol != blank
    return score


def enumerated_nll(log_probs_TSV, frames, labels, blank, topology="rna"):
    """-log of the summed probability of all alignments; inf if there is none."""
    return enumerate_all(log_probs_TSV, topology, frames, labels, blank).nll


class Case(NamedTuple):
    """A padded batch: log-probabilities, labels and lengths."""

    scores_BTSV: torch.Tensor
    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor

    def sequences(self):
        """Scores, frames and labels of each sequence."""
        lengths = zip(self.frame_lens_B.tolist(), self.label_lens_B.tolist())
        for row, (frames, count) in enumerate(lengths):
            yield self.scores_BTSV[row], frames, self.labels_BL[row, :count].tolist()


def random_case(seed, batch, frames, positions, vocabulary, blank):
    """Any lengths, equal neighbours likely, some sequences without an alignment."""
    generator = torch.Generator().manual_seed(seed)
    shape = batch, frames, positions, vocabulary
    scores = 2 * torch.randn(shape, dtype=torch.float64, generator=generator)
    labels = torch.randint(
        0, vocabulary - 1, (batch, positions - 1), generator=generator
    )
    labels += (labels >= blank).long()
    frame_lens = torch.randint(0, frames + 1, (batch,), generator=generator)
    label_lens = torch.randint(0, positions, (batch,), generator=generator)
    return Case(scores.log_softmax(-1), labels, frame_lens, label_lens)
