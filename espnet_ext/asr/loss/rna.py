"""RNA recursion: alignments that spend one frame for each label or blank.

With lp[t, u, k] the score of symbol k in frame t after u labels,

    alpha[0, 0] = 0
    alpha[t+1, u] = logaddexp(alpha[t, u] + lp[t, u, blank],
                              alpha[t, u-1] + lp[t, u-1, y_u])
    nll = -alpha[T, L]

There is no final blank: the last frame may emit a label. A sequence with more labels
than frames has no path.

Ref: Sak et al. 2017, "Recurrent Neural Aligner", section 3; reference/losses.md 1.
Differs from RNN-T (Graves 2012, eq. 16) in that a label consumes its frame.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions
from typing import NamedTuple

import torch

from espnet_ext.layers.lstm import reverse_by_length

NEGATIVE_INFINITY = float("-inf")


class Occupancies(NamedTuple):
    """Result of the recursion, all in float64.

    Attributes:
        nll_B: Negative log of the sum over all paths; inf if there is none.
        blank_BTS: Posterior probability of the blank arc in each node.
        label_BTS: Posterior probability of the label arc; 0 in the last position.
    """

    nll_B: torch.Tensor
    blank_BTS: torch.Tensor
    label_BTS: torch.Tensor


def _alphas(blank_BTS: torch.Tensor, label_BTS: torch.Tensor) -> torch.Tensor:
    """All forward scores, [T + 1, B, S]."""
    batch, frames, positions = blank_BTS.shape
    alpha = blank_BTS.new_full((frames + 1, batch, positions), NEGATIVE_INFINITY)
    alpha[0, :, 0] = 0.0
    blank_TBS, label_TBS = blank_BTS.transpose(0, 1), label_BTS.transpose(0, 1)
    for t in range(frames):
        stay = alpha[t] + blank_TBS[t]
        alpha[t + 1] = stay
        if positions > 1:
            emit = alpha[t, :, :-1] + label_TBS[t, :, :-1]
            alpha[t + 1, :, 1:] = torch.logaddexp(stay[:, 1:], emit)
    return alpha


def _mirror(x_BTS, frame_lens_B, label_lens_B):
    """Reverse time and label position inside each sequence's own lengths."""
    x_BST = reverse_by_length(x_BTS, frame_lens_B).transpose(1, 2)
    return reverse_by_length(x_BST, label_lens_B).transpose(1, 2)


@torch.no_grad()
def rna_occupancies(
    blank_BTS: torch.Tensor,
    label_BTS: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
) -> Occupancies:
    """Full sum and posteriors of all arcs.

    Args:
        blank_BTS: Log score of blank in frame t after u labels, any float type.
        label_BTS: Log score of label u + 1 there; the last position is ignored.
        frame_lens_B: Number of valid frames.
        label_lens_B: Number of valid labels, at most S - 1.

    Returns:
        Occupancies; posteriors are zero outside the valid nodes and for sequences
        without any path. Each valid frame sums to 1.
    """
    device = blank_BTS.device
    frame_lens_B = frame_lens_B.to(device)
    label_lens_B = label_lens_B.to(device)
    batch, frames, positions = blank_BTS.shape
    # float64: exp(alpha + beta - total) loses one digit for each factor of ten in
    # the total (about 700 nats a sequence) and the recursion is cheap anyway
    blank = blank_BTS.double()
    positions_S = torch.arange(positions, device=device)
    has_label_BS = positions_S < label_lens_B.unsqueeze(1)
    label = label_BTS.double().masked_fill(
        ~has_label_BS.unsqueeze(1), NEGATIVE_INFINITY
    )
    # The backward recursion is the forward one on the mirrored lattice. Both run in
    # one loop over frames, with twice the batch.
    both = _alphas(
        torch.cat([blank, _mirror(blank, frame_lens_B, label_lens_B + 1)]),
        torch.cat([label, _mirror(label, frame_lens_B, label_lens_B)]),
    )
    alpha, mirrored = both[:, :batch], both[:, batch:]
    batch_B = torch.arange(batch, device=device)
    total_B = alpha[frame_lens_B, batch_B, label_lens_B]
    beta_BTS = _mirror(mirrored.transpose(0, 1), frame_lens_B + 1, label_lens_B + 1)
    alpha_BTS = alpha.transpose(0, 1)[:, :frames]

    frames_T = torch.arange(frames, device=device)
    valid_BTS = (
        (frames_T < frame_lens_B.unsqueeze(1)).unsqueeze(2)
        & (positions_S <= label_lens_B.unsqueeze(1)).unsqueeze(1)
        & torch.isfinite(total_B).view(-1, 1, 1)
    )
    log_blank = alpha_BTS + blank + beta_BTS[:, 1:] - total_B.view(-1, 1, 1)
    occupancy_blank = torch.where(valid_BTS, log_blank.exp(), 0.0)
    occupancy_label = torch.zeros_like(occupancy_blank)
    if positions > 1:
        log_label = (
            alpha_BTS[:, :, :-1]
            + label[:, :, :-1]
            + beta_BTS[:, 1:, 1:]
            - total_B.view(-1, 1, 1)
        )
        valid_label = valid_BTS[:, :, :-1] & has_label_BS[:, None, :-1]
        occupancy_label[:, :, :-1] = torch.where(valid_label, log_label.exp(), 0.0)
    return Occupancies(-total_B, occupancy_blank, occupancy_label)
