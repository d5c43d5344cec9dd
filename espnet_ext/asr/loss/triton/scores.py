"""From logits of packed nodes to scores of arcs, and from posteriors back to logits."""

# Dimensions: N packed nodes, K softmax units
from typing import Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.fused_scores import NodeScores
from espnet_ext.asr.loss.node_gradient import NodeGradient
from espnet_ext.asr.loss.triton.joint import Joint
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.label_scores import LabelScores


def arc_scores(
    emission_N: Optional[torch.Tensor], logits: LabelScores, label_scale: float
) -> NodeScores:
    """Scores of arcs, float64.

    Args:
        emission_N: Emission logit; None with one softmax over labels and blank.
        logits: Of the same nodes.
        label_scale: Factor on the label part of the score.
    """
    log_sum_N, next_N, current_N, blank_N = (
        x if x is None else x.double() for x in logits
    )
    if emission_N is None:
        blank_N, emits_N = blank_N - log_sum_N, 0.0
    else:
        emission_N = emission_N.double()
        blank_N, emits_N = F.logsigmoid(-emission_N), F.logsigmoid(emission_N)
    label_N, repeat_N = (
        None if logit_N is None else emits_N + label_scale * (logit_N - log_sum_N)
        for logit_N in (next_N, current_N)
    )
    return NodeScores(log_sum_N, blank_N, label_N, repeat_N)


def logit_gradient(
    joint: Joint,
    gradient: NodeGradient,
    emission_N: Optional[torch.Tensor],
    log_sum_N: torch.Tensor,
    label_scale: float,
) -> Tuple[Optional[torch.Tensor], LogitCoefficients]:
    """Gradient at the emission logit, and coefficients of that at the softmax.

    Args:
        joint: Says how many labels there are, and which unit is blank.
        gradient: Negative gradient at the log-probabilities, before ``label_scale``.
        emission_N: As in ``arc_scores``, and None with it.
        log_sum_N: Of ``arc_scores``.
        label_scale: As there.
    """
    labels = joint.units - (joint.blank_unit is not None)
    scaled = gradient.scaled_labels(label_scale)
    mass_N = scaled.label_mass(labels)
    emission_gradient_N = peak_blank_N = None
    if emission_N is None:
        mass_N = mass_N + gradient.blank
        peak_blank_N = gradient.blank
        if scaled.uniform is not None:  # which is for labels only
            peak_blank_N = peak_blank_N - scaled.uniform
    else:
        emission_gradient_N = gradient.emission_gradient(emission_N.double(), labels)
        emission_gradient_N = emission_gradient_N.to(joint.sum_dtype)
    parts = log_sum_N, mass_N, scaled.peak, scaled.peak_repeat, scaled.uniform
    return emission_gradient_N, LogitCoefficients(
        *(x if x is None else x.to(joint.sum_dtype) for x in (*parts, peak_blank_N))
    )
