"""Does a loss compute what it should? Small questions whose answers are known.

Equal scores only count alignments: if each of V symbols scores -log V, an alignment of
N symbols costs N log V, and all of them together N log V - log(number of alignments).
Unequal scores, and the gradient, are compared with ``reference.py``.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
import importlib
import math
from typing import Callable, Iterable, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.reference import reference_loss
from espnet_ext.asr.loss.topology import Topology

FRAMES, LABELS, VOCABULARY = 6, 3, 5
TOLERANCE = 1e-4  # single precision, a few dozen additions

Loss = Callable[..., torch.Tensor]


def number_of_alignments(topology: Topology, frames: int, labels: int) -> int:
    """How many alignments different labels have, in closed form.

    rna: the labels choose their frames. rnnt: the labels lie between the blanks, and
    the last symbol is one. ctc, label_loop: Graves et al. 2006. The free loops: from
    the first label on, each frame without a new label has two choices.
    """
    if not topology.label_takes_frame:
        return math.comb(frames - 1 + labels, labels)
    if not topology.repeats or labels == 0:
        return math.comb(frames, labels)
    if topology.collapses:
        return math.comb(frames + labels, 2 * labels)
    if topology.repeats_on_diagonal:
        return sum(
            math.comb(left, labels - 1) * 2 ** (left - labels + 1)
            for left in range(labels - 1, frames)
        )
    # d labels on the diagonal, then the blank that leaves it; d = 0 is the free loop
    # with a frame less
    free = Topology("free", repeats=True)
    count = 1 if frames == labels else 0
    if frames > labels:
        count += number_of_alignments(free, frames - 1, labels)
    for diagonal in range(1, labels + 1):
        left = frames - diagonal - 1
        if left >= labels - diagonal:
            choices = 2 ** (left - (labels - diagonal))
            count += math.comb(left, labels - diagonal) * choices
    return count


def probe_loss(loss: Loss, topology: Topology, device: str) -> Optional[str]:
    """What is wrong with a dense loss, in one line; None if nothing is.

    Args:
        loss: Takes log-probabilities, labels, lengths, topology and blank.
        topology: The alignments to ask for.
        device: Where to compute.
    """
    with torch.autocast(torch.device(device).type, enabled=False), torch.enable_grad():
        try:
            return _count(loss, topology, device) or _compare(loss, topology, device)
        except Exception as error:  # to find out what can go wrong is its purpose
            return f"fails: {(str(error) or type(error).__name__).splitlines()[0]}"


def _count(loss: Loss, topology: Topology, device: str) -> Optional[str]:
    shape = (1, FRAMES, LABELS + 1, VOCABULARY)
    scores_BTSV = torch.full(shape, -math.log(VOCABULARY), device=device)
    labels_BL = torch.arange(1, LABELS + 1, device=device)[None]
    lengths = [torch.tensor([n], device=device) for n in (FRAMES, LABELS)]
    steps = int(topology.steps(*lengths))
    count = number_of_alignments(topology, FRAMES, LABELS)
    expected = steps * math.log(VOCABULARY) - math.log(count)
    value = float(loss(scores_BTSV, labels_BL, *lengths, topology, 0))
    # written so that a NaN counts as wrong
    if abs(value - expected) <= TOLERANCE * expected:
        return None
    return f"computes {value:.6f}, expected {expected:.6f}"


def _compare(loss: Loss, topology: Topology, device: str) -> Optional[str]:
    """A padded batch with a repeated label, blank inside the vocabulary."""
    generator = torch.Generator().manual_seed(1)
    shape = (2, FRAMES, LABELS + 1, VOCABULARY)
    scores_BTSV = torch.randn(shape, generator=generator).log_softmax(-1)
    labels_BL = torch.tensor([[1, 1, 4], [3, 0, 0]])
    lengths = torch.tensor([FRAMES, FRAMES - 2]), torch.tensor([LABELS, 1])
    exact = scores_BTSV.double().requires_grad_()
    expected_B = reference_loss(exact, labels_BL, *lengths, topology, blank=2)
    expected_B.sum().backward()
    asked = scores_BTSV.to(device).requires_grad_()
    arguments = [x.to(device) for x in (labels_BL, *lengths)]
    nll_B = loss(asked, *arguments, topology, 2)
    nll_B.sum().backward()
    return _first_difference(
        [
            ("a loss", nll_B.detach(), expected_B.detach()),
            ("a gradient", asked.grad, exact.grad),
        ]
    )


def _first_difference(
    named: Iterable[Tuple[str, torch.Tensor, torch.Tensor]],
) -> Optional[str]:
    """Of (name, ours, right): the first that is not right to single precision."""
    for name, ours, right in named:
        error = float((ours.double().cpu() - right).abs().max())
        if not error <= TOLERANCE * float(right.abs().max()):
            return f"{name} differs by {error:.2g} from the reference"
    return None


def probe_joint(module: str, topology: Topology, device: str) -> Optional[str]:
    """As ``probe_loss`` for ``FusedJointLoss``: a tiny readout, composed by hand."""
    with torch.autocast(torch.device(device).type, enabled=False), torch.enable_grad():
        try:
            joint_class = importlib.import_module(module).FusedJointLoss
            return _compare_joint(joint_class, topology, device)
        except Exception as error:
            return f"fails: {(str(error) or type(error).__name__).splitlines()[0]}"


def _compare_joint(joint_class, topology: Topology, device: str) -> Optional[str]:
    readout, labels = 8, VOCABULARY - 1
    generator = torch.Generator().manual_seed(2)

    def leaf(*shape):
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values.requires_grad_()

    exact = [leaf(2, FRAMES, readout), leaf(2, LABELS + 1, readout)]
    exact += [leaf(labels, readout // 2), leaf(labels), leaf(1, readout // 2), leaf(1)]
    am_BTR, lm_BSR, label_weight, label_bias, emission_weight, emission_bias = exact
    sum_BTSR = am_BTR.unsqueeze(2) + lm_BSR.unsqueeze(1)
    readout_BTSJ = sum_BTSR.unflatten(3, (-1, 2)).amax(4)
    logits_BTSK = F.linear(readout_BTSJ, label_weight, label_bias).log_softmax(3)
    emission_BTS1 = F.linear(readout_BTSJ, emission_weight, emission_bias)
    label_BTSK = F.logsigmoid(emission_BTS1) + logits_BTSK
    scores = torch.cat([F.logsigmoid(-emission_BTS1), label_BTSK], dim=3)
    labels_BL = torch.tensor([[1, 1, 4], [3, 1, 1]])
    lengths = torch.tensor([FRAMES, FRAMES - 2]), torch.tensor([LABELS, 1])
    expected_B = reference_loss(scores, labels_BL, *lengths, topology, blank=0)
    right = torch.autograd.grad(expected_B.sum(), exact)

    asked = [x.detach().float().to(device).requires_grad_() for x in exact]
    arguments = [x.to(device) for x in (labels_BL, *lengths)]
    nll_B = joint_class(*asked).full_sum(*arguments, topology, 0)
    ours = torch.autograd.grad(nll_B.sum(), asked)
    named = [("a loss", nll_B.detach(), expected_B.detach())]
    named += [("a gradient", *pair) for pair in zip(ours, right)]
    return _first_difference(named)
