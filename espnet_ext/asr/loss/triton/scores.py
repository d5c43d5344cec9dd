"""From logits of packed nodes to scores of arcs, and from posteriors back.

    emission="sigmoid": log p(blank) = log sigmoid(-e),
                        log p(label k) = log sigmoid(e) + scale log_softmax(z)_k
    emission="softmax": one softmax over the label logits z and the blank logit e
"""

# Dimensions: N packed nodes, K labels
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.node_gradient import EMISSIONS, NodeGradient
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.label_scores import LabelScores
from espnet_ext.errors import OptionError


class ArcLogits(NamedTuple):
    """Scores of the arcs of packed nodes, and what the softmax was normalised with."""

    blank_N: torch.Tensor
    label_N: torch.Tensor
    repeat_N: Optional[torch.Tensor]
    normaliser_N: torch.Tensor


def check_emission(emission: str, label_scale: float) -> None:
    """Refuse an unknown emission, or a label scale without a label distribution."""
    if emission not in EMISSIONS:
        raise OptionError(
            f"unknown emission {emission!r}", expected=", ".join(EMISSIONS)
        )
    if emission == "softmax" and label_scale != 1.0:
        raise OptionError(
            f"label_scale {label_scale} with one softmax over labels and blank",
            expected="1, or emission: sigmoid",
        )


def arc_logits(
    emission_N: torch.Tensor, scores: LabelScores, emission: str, label_scale: float
) -> ArcLogits:
    """Scores of arcs from the emission logit and label scores of each node."""
    chosen = [scores.next_N, scores.current_N]
    if emission == "softmax":
        normaliser_N = torch.logaddexp(scores.normaliser_N, emission_N)
        arcs = [part if part is None else part - normaliser_N for part in chosen]
        return ArcLogits(emission_N - normaliser_N, *arcs, normaliser_N)
    emits_N = F.logsigmoid(emission_N)
    arcs = [
        part if part is None else emits_N + label_scale * (part - scores.normaliser_N)
        for part in chosen
    ]
    return ArcLogits(F.logsigmoid(-emission_N), *arcs, scores.normaliser_N)


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
    if emission == "softmax":
        mass_N = gradient.blank + gradient.label_mass(num_labels)
        emission_gradient_N = mass_N * (emission_N - normaliser_N).exp()
        emission_gradient_N = emission_gradient_N - gradient.blank
    else:
        emission_gradient_N = gradient.emission_gradient(emission_N, num_labels)
        gradient = gradient.scaled_labels(label_scale)
        mass_N = gradient.label_mass(num_labels)
    labels = gradient.peak, gradient.peak_repeat, gradient.uniform
    return emission_gradient_N, LogitCoefficients(normaliser_N, mass_N, *labels)
