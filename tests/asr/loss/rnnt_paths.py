"""All RNN-T alignments of a label sequence, by enumeration."""

import itertools
import math


def enumerated_rnnt_nll(log_probs_TSV, labels, blank):
    """-log of the summed probability of all alignments of ``labels``.

    An alignment is a row of one symbol a step: T blanks, each of which ends a frame,
    and the labels in order before the last of them.
    """
    frames, count = len(log_probs_TSV), len(labels)
    scores = []
    for places in itertools.combinations(range(frames + count - 1), count):
        score, frame, emitted = 0.0, 0, 0
        for step in range(frames + count):
            row = log_probs_TSV[frame, emitted]
            if step in places:
                score += float(row[labels[emitted]])
                emitted += 1
            else:
                score += float(row[blank])
                frame += 1
        scores.append(score)
    top = max(scores)
    return -(top + math.log(sum(math.exp(score - top) for score in scores)))
