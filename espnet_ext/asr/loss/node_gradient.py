"""From posteriors of arcs to gradients of logits: label smoothing and FastEmit.

The full sum alone gives, in each node of the lattice, the occupancies of the blank
arc, of the label arc and (topologies with repetition) of the repeat arc. They are the
negative gradient at the log-probabilities. Label smoothing "by gradient" and FastEmit
change this gradient and leave the value of the loss alone. What they make of it always
has the form

    d loss / d log p(blank)   = -blank
    d loss / d log p(label k) = -uniform - peak [k = next] - peak_repeat [k = current]

which is a ``NodeGradient``: four numbers a node, however large the vocabulary. With
m = peak + peak_repeat + K uniform (``NodeGradient.label_mass``) the logits get

    emission logit e, label logits z (emission="sigmoid", reference/losses.md 5):
        d/dz_k = m softmax(z)_k - uniform - peak [k = next] - peak_repeat [k = current]
        d/de   = sigmoid(e) (blank + m) - m
    one softmax over labels and blank (emission="softmax"):
        d/dz_k = (blank + m) softmax(z)_k - uniform - peak [..] - peak_repeat [..]
        d/dz_blank = (blank + m) softmax(z)_blank - blank

Where the label part of the score is ``label_scale * log_softmax(z)_k``, everything that
reaches z through a label (m, uniform, peak, peak_repeat) is multiplied with the scale:
``NodeGradient.scaled_labels``. The gradient at e keeps the unscaled m.

Source: reference/losses.md 6.2 and reference/parts.md 3 (smoothing); Yu et al. 2021,
FastEmit: Low-latency Streaming ASR with Sequence-level Emission Regularization, eq. 12.
"""

# Dimensions: K labels without blank, D classes that are smoothed. Tensors have one
# entry a node and any shape: [B, T, S], or [N] packed nodes.
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import torch

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

SMOOTHING_TYPES = ("ls", "lsx", "lsxx")
EMISSIONS = ("sigmoid", "softmax")
WARMUP_EPOCHS = 60


@dataclass(frozen=True)
class LabelSmoothing:
    """Which distribution is smoothed, and how much; scale 0 is no smoothing.

    Args:
        type: ``ls``: all V = K + 1 classes, blank included. ``lsx``: the same floor
            for the labels, computed with blank's mass and V, but blank itself is left
            as it is, so that the total mass grows: a node that is almost surely blank
            pushes all labels by ``scale``. ``lsxx``: the label distribution alone,
            weighted with the posterior of emitting a label in the node.
        scale: s, the probability that is given to the wrong classes.

    Raises:
        OptionError: Unknown type, or a scale outside of [0, 1).
    """

    type: str = "lsxx"
    scale: float = 0.0

    def __post_init__(self):
        if self.type not in SMOOTHING_TYPES:
            near = nearest(self.type, SMOOTHING_TYPES)
            raise OptionError(
                f"unknown label smoothing {self.type!r}",
                expected=", ".join(SMOOTHING_TYPES),
                next_step=near and f"did you mean {near}?",
            )
        if not 0.0 <= self.scale < 1.0:
            raise OptionError(
                f"label smoothing scale {self.scale}", expected="0 <= scale < 1"
            )

    def __bool__(self) -> bool:
        return self.scale > 0.0

    def times(self, fraction: float) -> "LabelSmoothing":
        """The same type at a fraction, 0 to 1, of the scale: a step of a schedule."""
        return LabelSmoothing(self.type, self.scale * fraction)


def growth_fraction(layers: int, first_layers: int, last_layers: int) -> float:
    """Schedule ``a`` (ls01a): how far the encoder has grown, 0 to 1.

    2, 4, 8 and 12 layers, as in the original, give 0, 0.2, 0.6 and 1. An encoder that
    does not grow (first_layers = last_layers) has the fraction 1.

    Source: reference/losses.md 6.2, parts.md 2.4.
    """
    if last_layers == first_layers:
        return 1.0
    return (layers - first_layers) / (last_layers - first_layers)


def warmup_fraction(epoch: int, epochs: int = WARMUP_EPOCHS) -> float:
    """Schedule ``b`` (ls01b, lsx01b, lsxx01b): min(epoch / epochs, 1).

    ``epoch`` is the 1-based sub-epoch, a sixth of the data in the original.
    """
    return min(epoch / epochs, 1.0)


def smoothing_terms(scale: float, classes: int) -> Tuple[float, float]:
    """(factor, floor) of g'_k = factor g_k - floor sum_j |g_j| over D classes.

    floor = s / (D - 1), factor = 1 - D floor: a gradient of -1 at one class becomes
    -(1 - s) there and -s / (D - 1) elsewhere. One class cannot be smoothed: (1, 0).
    """
    if classes < 2:
        return 1.0, 0.0
    floor = scale / (classes - 1)
    return 1.0 - classes * floor, floor


class NodeGradient(NamedTuple):
    """Negative gradient at the log-probabilities of each node.

    Attributes:
        blank: At blank.
        peak: At the next label, above ``uniform``.
        peak_repeat: At the current label, above ``uniform``; None without repeat arcs.
        uniform: At each of the K labels; None for zero everywhere.
    """

    blank: torch.Tensor
    peak: torch.Tensor
    peak_repeat: Optional[torch.Tensor] = None
    uniform: Optional[torch.Tensor] = None

    def label_mass(self, num_labels: int) -> torch.Tensor:
        """m = peak + peak_repeat + K uniform: the sum over all K labels."""
        mass = self.peak
        if self.peak_repeat is not None:
            mass = mass + self.peak_repeat
        if self.uniform is not None:
            mass = mass + num_labels * self.uniform
        return mass

    def emission_gradient(
        self, emission: torch.Tensor, num_labels: int
    ) -> torch.Tensor:
        """d loss / d e = sigmoid(e) (blank + m) - m of the emission logits e."""
        mass = self.label_mass(num_labels)
        return emission.sigmoid() * (self.blank + mass) - mass

    def scaled_labels(self, scale: float) -> "NodeGradient":
        """All label parts times ``scale``, blank as it is; the same object for 1."""
        if scale == 1.0:
            return self
        labels = [None if part is None else scale * part for part in self[1:]]
        return NodeGradient(self.blank, *labels)


@dataclass(frozen=True)
class GradientOptions:
    """Everything that makes the gradient another one than that of the plain full sum.

    Args:
        smoothing: None, or label smoothing by gradient.
        fastemit: lambda; the gradient of the label arc is multiplied with 1 + lambda.
            Repeat arcs emit nothing new and are left alone. Smoothing comes after, as
            it acts on the gradient that the loss hands down.
        label_scale: Factor on log_softmax(z)_k in the score of a label. This one does
            change the value of the loss. See the top of this file for its gradient.

    Raises:
        OptionError: Negative lambda or scale.
    """

    smoothing: Optional[LabelSmoothing] = None
    fastemit: float = 0.0
    label_scale: float = 1.0

    def __post_init__(self):
        for name in ("fastemit", "label_scale"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise OptionError(
                    f"{name} {getattr(self, name)}", expected="a number >= 0"
                )

    def node_gradient(
        self,
        occupancy_blank: torch.Tensor,
        occupancy_label: torch.Tensor,
        occupancy_repeat: Optional[torch.Tensor],
        num_labels: int,
    ) -> NodeGradient:
        """Coefficients of each node from the posteriors of its arcs.

        Args:
            occupancy_blank: Posterior of the blank arc, 0 in padded nodes, any shape.
            occupancy_label: Posterior of the arc of the next label.
            occupancy_repeat: Posterior of the arc of the current label, or None.
            num_labels: K.

        Returns:
            NodeGradient before ``label_scale``. Without smoothing and FastEmit it holds
            the given tensors themselves: a neutral option is no option, bit for bit.
        """
        label = occupancy_label
        if self.fastemit:
            label = label * (1.0 + self.fastemit)
        plain = NodeGradient(occupancy_blank, label, occupancy_repeat)
        if not self.smoothing:
            return plain
        return smooth(plain, self.smoothing, num_labels)


PLAIN = GradientOptions()


def smooth(
    plain: NodeGradient, smoothing: LabelSmoothing, num_labels: int
) -> NodeGradient:
    """Label smoothing of an unsmoothed gradient (``uniform`` is None).

    With s the scale, b the blank part, l the sum of the label parts:

        ls    D = K + 1, mass b + l: blank = factor b + floor (b + l)
        lsx   D = K + 1, mass b + l: blank = b, so the total is not preserved:
              b (1 + s) + l (1 - floor)
        lsxx  D = K, mass l:         blank = b; m stays l and with it d/de

    and for all of them peak = factor peak, uniform = floor mass.

    Source: reference/losses.md 6.2.
    """
    if plain.uniform is not None:
        raise ValueError("the gradient is smoothed already")
    emits = plain.label_mass(num_labels)
    if smoothing.type == "lsxx":
        factor, floor = smoothing_terms(smoothing.scale, num_labels)
        blank, mass = plain.blank, emits
    else:
        factor, floor = smoothing_terms(smoothing.scale, num_labels + 1)
        blank, mass = plain.blank, plain.blank + emits
        if smoothing.type == "ls":
            blank = factor * blank + floor * mass
    repeat = plain.peak_repeat
    return NodeGradient(
        blank,
        factor * plain.peak,
        None if repeat is None else factor * repeat,
        floor * mass,
    )
