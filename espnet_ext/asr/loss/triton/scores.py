"""From logits of packed nodes to scores of arcs, and from posteriors back.

    emission="sigmoid": log p(blank) = log sigmoid(-e),
                        log p(label k) = log sigmoid(e) + scale log_softmax(z)_k
    emission="softmax": one softmax over the label logits z and the blank logit e,
                        log p(label k) times scale
"""

# Dimensions: N packed nodes, K labels
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.node_gradient import NodeGradient
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.label_scores import LabelScores


class ArcLogits(NamedTuple):
    """Scores of the arcs of packed nodes, and what the softmax was normalised with."""

    blank_N: torch.Tensor
    label_N: torch.Tensor
    repeat_N: Optional[torch.Tensor]
    normaliser_N: torch.Tensor


def arc_logits(
    emission_N: torch.Tensor, scores: LabelScores, emission: str, label_scale: float
) -> ArcLogits:
    """Scores of arcs from the emission logit and label scores of each node."""
    if emission == "softmax":
        normaliser_N = torch.logaddexp(scores.normaliser_N, emission_N)
        blank_N, emits_N = emission_N - normaliser_N, 0.0
    else:
        normaliser_N = scores.normaliser_N
        blank_N, emits_N = F.logsigmoid(-emission_N), F.logsigmoid(emission_N)
    label_N, repeat_N = (
        None if logit_N is None else emits_N + label_scale * (logit_N - normaliser_N)
        for logit_N in (scores.next_N, scores.current_N)
    )
    return ArcLogits(blank_N, label_N, repeat_N, normaliser_N)


def logit_gradient(
    gradient: NodeGradient,
    emission_N: torch.Tensor,
    normaliser_N: torch.Tensor,
    num_labels: int,
    emission: str,
    label_scale: float,
) -> Tuple[torch.Tensor, LogitCoefficients]:
    """Gradient at the emission logit, and coefficients of that at the label logits.

    Args:
        gradient: Negative gradient at the log-probabilities, before ``label_scale``.
        emission_N: Emission logit.
        normaliser_N: Of ``arc_logits``.
        num_labels: K.
        emission: ``sigmoid`` or ``softmax``.
        label_scale: As in the scores.
    """
    scaled = gradient.scaled_labels(label_scale)
    mass_N = scaled.label_mass(num_labels)
    if emission == "softmax":
        mass_N = gradient.blank + mass_N
        softmax_N = (emission_N - normaliser_N).exp()
        emission_gradient_N = mass_N * softmax_N - gradient.blank
    else:
        emission_gradient_N = gradient.emission_gradient(emission_N, num_labels)
    labels = scaled.peak, scaled.peak_repeat, scaled.uniform
    return emission_gradient_N, LogitCoefficients(normaliser_N, mass_N, *labels)
