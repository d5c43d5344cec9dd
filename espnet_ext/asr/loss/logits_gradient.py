"""The gradient of logits, written out for every class, from a ``NodeGradient``."""

# Dimensions: K labels, V = K + 1 classes. Each row of logits belongs to one node, or to
#             several nodes that share it.
from typing import Iterable, Optional, Tuple

import torch

from espnet_ext.asr.loss.node_gradient import NodeGradient


def logits_gradient(
    logits: torch.Tensor,
    normaliser: torch.Tensor,
    emission: Optional[torch.Tensor],
    node: NodeGradient,
    peaks: Iterable[Tuple[torch.Tensor, torch.Tensor]],
    *,
    blank: int = 0,
    label_scale: float = 1.0,
) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
    """Gradients at the logits and at the emission logit.

    Args:
        logits: [..., K] label logits, or [..., V] of one softmax.
        normaliser: [...] their logsumexp, float32 at least.
        emission: [...] emission logits, or None for one softmax.
        node: Coefficients of each row [...], summed over the nodes that share it.
        peaks: Pairs (class in the last axis of the logits, its coefficient), both
            [...], or [..., nodes] where several nodes share a row.
        blank: Index of blank in V, for one softmax.
        label_scale: Of ``GradientOptions``.

    Returns:
        Gradients of the types of ``logits`` and ``emission``; the second is None
        without emission.

    Source: the formulas at the top of ``node_gradient.py``.
    """
    num_labels = logits.size(-1) - (emission is None)
    labels = node.scaled_labels(label_scale)
    mass = labels.label_mass(num_labels)
    if emission is None:
        mass = mass + node.blank
    grad = (logits - normaliser.unsqueeze(-1)).exp_().mul_(mass.unsqueeze(-1))
    if labels.uniform is not None:
        grad.sub_(labels.uniform.unsqueeze(-1))
    for index, peak in peaks:
        if index.dim() < logits.dim():
            index, peak = index.unsqueeze(-1), peak.unsqueeze(-1)
        grad.scatter_add_(-1, index, -label_scale * peak)
    if emission is None:
        push = node.blank
        if labels.uniform is not None:
            push = push - labels.uniform  # which is for labels only
        grad[..., blank] -= push
        return grad.to(logits.dtype), None
    grad_emission = node.emission_gradient(emission.to(grad.dtype), num_labels)
    return grad.to(logits.dtype), grad_emission.to(emission.dtype)
