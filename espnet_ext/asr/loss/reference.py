"""The full sum as one would write it on a board: read this first.

For each node (t, u) of the lattice, in the order in which alignments walk,

    alpha(node) = log sum over the arcs that lead here of exp(alpha(from) + score(arc))

and nll = -alpha at the end. Which arcs there are, ``Topology.arcs`` says. Gradients
are left to autograd. Slow, and only for tests, probes and reading; ``lattice.py`` does
the same for a batch, and ``dense.py`` knows the gradient.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
from collections import defaultdict
from typing import Dict, List, Sequence, Union

import torch

from espnet_ext.asr.loss.topology import (
    BLANK,
    LABEL,
    Node,
    Topology,
    get_topology,
)


def sequence_nll(
    scores_TSV: torch.Tensor,
    labels: Sequence[int],
    topology: Topology,
    blank: int,
) -> torch.Tensor:
    """nll of one sequence without padding; inf if it has no alignment.

    Args:
        scores_TSV: Log score of each symbol in frame t after u labels.
        labels: L = S - 1 label ids.
        topology: Which alignments count.
        blank: Index of blank in V.
    """
    frames = scores_TSV.size(0)
    arriving: Dict[Node, List[torch.Tensor]] = defaultdict(list)
    arriving[Node(0, 0)].append(scores_TSV.new_zeros(()))
    ends: List[torch.Tensor] = []
    # an arc leads to a later frame, or to a later position of the same frame
    for t in range(frames + 1):
        for u in range(len(labels) + 1):
            for node in (Node(t, u, False), Node(t, u, True)):
                if not arriving[node]:
                    continue
                alpha = torch.stack(arriving[node]).logsumexp(0)
                if (t, u) == (frames, len(labels)):
                    ends.append(alpha)
                for kind, target in topology.arcs(node, frames, labels):
                    if kind == BLANK:
                        symbol = blank
                    else:
                        symbol = labels[u] if kind == LABEL else labels[u - 1]
                    arriving[target].append(alpha + scores_TSV[t, u, symbol])
    if not ends:
        return scores_TSV.new_tensor(float("inf"))
    return -torch.stack(ends).logsumexp(0)


def reference_loss(
    scores: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
    blank: int,
) -> torch.Tensor:
    """nll_B of a padded batch; arguments as ``full_sum_loss``."""
    topology = get_topology(topology)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if scores.dim() == 3:  # the same scores at every position
        scores = scores.unsqueeze(2).expand(-1, -1, labels_BL.size(1) + 1, -1)
    nll = [scores.new_zeros(0)]
    lengths = zip(frame_lens_B.tolist(), label_lens_B.tolist())
    for row, (frames, count) in enumerate(lengths):
        labels = labels_BL[row, :count].tolist()
        scores_TSV = scores[row, :frames, : count + 1]
        nll.append(sequence_nll(scores_TSV, labels, topology, blank).unsqueeze(0))
    # the last term is zero, and makes a constant inf have a gradient: zero
    return torch.cat(nll) + scores[:0].sum()
