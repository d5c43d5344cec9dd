"""Full sum of given scores [B, T, S, V], with the gradient in closed form.

d nll / d score = -posterior of the arcs that read the score, so that a backward pass
needs no more than the posteriors of the lattice, two or three numbers a node.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
from typing import NamedTuple, Tuple

import torch

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.lattice import occupancies
from espnet_ext.asr.loss.topology import Topology
from espnet_ext.errors import OptionError


class ArcIndex(NamedTuple):
    """Where the scores of arcs stand in the vocabulary axis, [B, S] each.

    Attributes:
        label_BS: Label u + 1; 0 in the last position and in the padding.
        repeat_BS: Label u; 0 in the first position and in the padding.
    """

    label_BS: torch.Tensor
    repeat_BS: torch.Tensor


def label_index(labels_BL: torch.Tensor, positions: int) -> torch.Tensor:
    """The label that follows each position, [B, S]; 0 in the last position."""
    index_BS = labels_BL.new_zeros(labels_BL.size(0), positions, dtype=torch.long)
    index_BS[:, : labels_BL.size(1)] = labels_BL
    return index_BS


def arc_index(labels_BL: torch.Tensor, label_lens_B: torch.Tensor) -> ArcIndex:
    """Indices of labels whose padding may hold anything."""
    labels = labels_BL.size(1)
    places_L = torch.arange(labels, device=labels_BL.device)
    padding_BL = places_L >= label_lens_B.to(labels_BL.device).unsqueeze(1)
    next_BS = label_index(labels_BL.masked_fill(padding_BL, 0), labels + 1)
    return ArcIndex(next_BS, next_BS.roll(1, 1))


def arc_scores(
    scores: torch.Tensor, index: ArcIndex, topology: Topology, blank: int
) -> ArcScores:
    """The two or three scores of each node that any arc reads, [B, T, S] each.

    Args:
        scores: [B, T, S, V]; or [B, T, V] where they do not depend on the position.
        index: Of ``arc_index``.
        topology: Whether there are repeat arcs.
        blank: Index of blank.
    """
    size_BTS = (*scores.shape[:2], index.label_BS.size(1))
    blank_BTS = scores[..., blank]
    if scores.dim() == 3:
        blank_BTS = blank_BTS.unsqueeze(2).expand(size_BTS)
    label_BTS = _gather(scores, index.label_BS.unsqueeze(1).expand(size_BTS))
    repeat_BTS = None
    if topology.repeats:
        repeat_BTS = _gather(scores, index.repeat_BS.unsqueeze(1).expand(size_BTS))
    return ArcScores(blank_BTS, label_BTS, repeat_BTS)


def _gather(scores: torch.Tensor, index_BTS: torch.Tensor) -> torch.Tensor:
    if scores.dim() == 3:
        return scores.gather(2, index_BTS)
    return scores.gather(3, index_BTS.unsqueeze(3)).squeeze(3)


class _DenseFullSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, labels_BL, frame_lens_B, label_lens_B, topology, blank):
        labels_BL = labels_BL.to(scores.device)
        index = arc_index(labels_BL, label_lens_B)
        arcs = arc_scores(scores, index, topology, blank)
        result = occupancies(arcs, labels_BL, frame_lens_B, label_lens_B, topology)
        exact = torch.promote_types(scores.dtype, torch.float32)
        nll_B, *posteriors = (x if x is None else x.to(exact) for x in result)
        ctx.save_for_backward(torch.isfinite(result.nll_B), *index, *posteriors)
        ctx.blank, ctx.shape, ctx.dtype = blank, scores.shape, scores.dtype
        return nll_B

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_B):
        possible_B, *index, blank_BTS, label_BTS, repeat_BTS = ctx.saved_tensors
        # an impossible sequence has no gradient, whatever the caller multiplies with
        scale_B11 = -grad_B.masked_fill(~possible_B, 0.0)[:, None, None]
        blank = blank_BTS * scale_B11
        shared = len(ctx.shape) == 3  # by all positions: their sum is not left to half
        grad = blank.new_zeros(ctx.shape, dtype=blank.dtype if shared else ctx.dtype)
        grad[..., ctx.blank] = blank.sum(2) if shared else blank
        for index_BS, posterior_BTS in zip(index, (label_BTS, repeat_BTS)):
            if posterior_BTS is None:
                continue
            index_BTS = index_BS.unsqueeze(1).expand_as(posterior_BTS)
            value_BTS = (posterior_BTS * scale_B11).to(grad.dtype)
            if shared:
                grad.scatter_add_(2, index_BTS, value_BTS)
            else:
                grad.scatter_add_(3, index_BTS.unsqueeze(3), value_BTS.unsqueeze(3))
        return grad.to(ctx.dtype), None, None, None, None, None


def dense_loss(
    scores: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
) -> torch.Tensor:
    """nll_B with its gradient in closed form; arguments as ``full_sum_loss``.

    The recursion is in float64 whatever the scores are; half precision scores give a
    float32 loss, and a gradient of their own type.
    """
    return _DenseFullSum.apply(
        scores, labels_BL, frame_lens_B, label_lens_B, topology, blank
    )


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


def check_scores(
    scores: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
) -> None:
    """Refuse scores, labels or a blank that do not fit each other.

    Raises:
        ValueError: Shapes or lengths do not fit.
        OptionError: A valid label, or blank, is outside the vocabulary.
    """
    dense = scores.dim() == 4
    if not dense and not (scores.dim() == 3 and topology.position_free):
        also = " or [B, T, V]" if topology.position_free else ""
        raise ValueError(
            f"scores of shape {tuple(scores.shape)}: expected [B, T, S, V]{also} for "
            f"topology {topology.name}"
        )
    positions = scores.size(2) if dense else labels_BL.size(-1) + 1
    lattice = (scores.size(0), scores.size(1), positions)
    check_shapes(lattice, labels_BL, frame_lens_B, label_lens_B)
    vocabulary = scores.size(-1)
    places_L = torch.arange(labels_BL.size(1), device=labels_BL.device)
    valid_BL = places_L < label_lens_B.to(labels_BL.device).unsqueeze(1)
    wrong = labels_BL[valid_BL & ((labels_BL < 0) | (labels_BL >= vocabulary))]
    for name, found in (("label", wrong.tolist()[:1]), ("blank", [blank])):
        if found and not 0 <= found[0] < vocabulary:
            raise OptionError(
                f"{name} id {found[0]} is outside the vocabulary",
                expected=f"0 to {vocabulary - 1}, as the scores have {vocabulary}",
            )
