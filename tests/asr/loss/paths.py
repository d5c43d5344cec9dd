"""All RNA alignments of a label sequence, by enumeration."""

import itertools
import math


def alignments(frames, labels, blank):
    """Every way to place the labels, in order, on distinct frames."""
    for places in itertools.combinations(range(frames), len(labels)):
        symbols = [blank] * frames
        for place, label in zip(places, labels):
            symbols[place] = label
        yield symbols


def path_score(log_probs_TSV, symbols, blank):
    """Log score of one alignment; the context is the number of labels so far."""
    score, emitted = 0.0, 0
    for t, symbol in enumerate(symbols):
        score += float(log_probs_TSV[t, emitted, symbol])
        emitted += symbol != blank
    return score


def enumerated_nll(log_probs_TSV, frames, labels, blank):
    """-log of the summed probability of all alignments; inf if there is none."""
    scores = [
        path_score(log_probs_TSV, symbols, blank)
        for symbols in alignments(frames, labels, blank)
    ]
    if not scores:
        return math.inf
    top = max(scores)
    return -(top + math.log(sum(math.exp(score - top) for score in scores)))
