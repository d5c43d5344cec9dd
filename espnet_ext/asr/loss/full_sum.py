"""Full-sum loss from given log-probabilities, with the gradient in closed form."""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
from typing import Tuple

import torch

from espnet_ext.asr.loss.rna import rna_occupancies

TOPOLOGIES = ("rna",)


def label_index(labels_BL: torch.Tensor, positions: int) -> torch.Tensor:
    """The label that follows each position, [B, S]; 0 in the last position."""
    index_BS = labels_BL.new_zeros(labels_BL.size(0), positions, dtype=torch.long)
    index_BS[:, : labels_BL.size(1)] = labels_BL
    return index_BS


class _RnaLoss(torch.autograd.Function):
    """nll_B of dense scores; d nll / d score = -occupancy."""

    @staticmethod
    def forward(ctx, scores_BTSV, labels_BL, frame_lens_B, label_lens_B, blank):
        index_BS = label_index(labels_BL.clamp(min=0), scores_BTSV.size(2))
        index_BTS1 = index_BS[:, None, :, None].expand(-1, scores_BTSV.size(1), -1, 1)
        label_BTS = scores_BTSV.gather(3, index_BTS1).squeeze(3)
        result = rna_occupancies(
            scores_BTSV[..., blank], label_BTS, frame_lens_B, label_lens_B
        )
        ctx.save_for_backward(result.blank_BTS, result.label_BTS, index_BTS1)
        ctx.blank, ctx.shape, ctx.dtype = blank, scores_BTSV.shape, scores_BTSV.dtype
        return result.nll_B.to(scores_BTSV.dtype)

    @staticmethod
    def backward(ctx, grad_B):
        occupancy_blank, occupancy_label, index_BTS1 = ctx.saved_tensors
        # an infeasible sequence has an infinite cost and no gradient, whatever the
        # caller multiplies it with
        scale = torch.nan_to_num(grad_B.double(), nan=0.0, posinf=0.0, neginf=0.0)
        scale = scale.view(-1, 1, 1)
        grad = occupancy_blank.new_zeros(ctx.shape, dtype=ctx.dtype)
        grad[..., ctx.blank] = (-scale * occupancy_blank).to(grad.dtype)
        grad.scatter_add_(
            3, index_BTS1, (-scale * occupancy_label).to(grad.dtype).unsqueeze(3)
        )
        return grad, None, None, None, None


def full_sum_loss(
    scores: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: str = "rna",
    blank: int = 0,
) -> torch.Tensor:
    """Negative log of the sum over all alignments, one value per sequence.

    Args:
        scores: Log-probabilities [B, T, S, V], S = L + 1. They need not be normalised;
            padded nodes may hold anything finite.
        labels_BL: Label ids, padded with anything.
        frame_lens_B: Valid frames per sequence, at most T.
        label_lens_B: Valid labels per sequence, at most L.
        topology: ``rna``.
        blank: Index of blank in V.

    Returns:
        nll_B in nats. A sequence without any path (more labels than frames) has cost
        inf and gradient zero: see ``feasible``.

    Ref: reference/losses.md 1.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology {topology!r}: expected one of {TOPOLOGIES}")
    check_shapes(scores.shape[:3], labels_BL, frame_lens_B, label_lens_B)
    return _RnaLoss.apply(scores, labels_BL, frame_lens_B, label_lens_B, blank)


def feasible(frame_lens_B: torch.Tensor, label_lens_B: torch.Tensor) -> torch.Tensor:
    """Whether a sequence has any RNA path: frames >= labels, boolean [B]."""
    return frame_lens_B >= label_lens_B


def check_shapes(
    lattice: Tuple[int, int, int],
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
) -> None:
    """Raise ValueError where the lattice [B, T, S] does not fit labels and lengths."""
    batch, frames, positions = lattice
    if labels_BL.shape != (batch, positions - 1):
        raise ValueError(
            f"labels of shape {tuple(labels_BL.shape)}: expected [B, L] = "
            f"{(batch, positions - 1)} for scores of S = L + 1 = {positions} positions"
        )
    for name, lengths, limit in (
        ("frame", frame_lens_B, frames),
        ("label", label_lens_B, positions - 1),
    ):
        if lengths.shape != (batch,):
            raise ValueError(
                f"{name} lengths {tuple(lengths.shape)}: expected [{batch}]"
            )
        if batch and (int(lengths.max()) > limit or int(lengths.min()) < 0):
            raise ValueError(
                f"{name} lengths {lengths.tolist()}: expected 0 to {limit}"
            )
