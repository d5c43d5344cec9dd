"""The full-sum loss, for every topology, from dense scores or from a joint."""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
from typing import List, NamedTuple, Optional, Protocol, Sequence, Union

import torch

from espnet_ext.asr.loss.backends import choose_backend
from espnet_ext.asr.loss.dense import arc_index, arc_scores, check_scores
from espnet_ext.asr.loss.lattice import Occupancies, occupancies
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.errors import OptionError

INFEASIBLE = ("inf", "zero")


class JointScores(Protocol):
    """A joint that computes the loss without ever holding all of its scores.

    Attributes:
        device: Where it computes.
    """

    device: torch.device

    def full_sum(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        topology: Topology,
        blank: int,
        infeasible: str = "inf",
    ) -> torch.Tensor:
        """nll_B; arguments as ``full_sum_loss``."""


def full_sum_loss(
    scores: Union[torch.Tensor, JointScores],
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
    *,
    infeasible: str = "inf",
    backend: str = "auto",
) -> torch.Tensor:
    """Negative log of the sum over all alignments, one value per sequence.

    nll = -log sum over alignments a of exp(sum over its symbols of their score)

    Args:
        scores: Log-probabilities [B, T, S, V], S = L + 1, of symbol k in frame t after
            u labels; for ``ctc`` also [B, T, V]. They need not be normalised. Padded
            nodes, and nodes on no alignment, may hold anything. Or a joint
            (``FusedJointLoss``), for which nothing with the extents T S V ever exists.
        labels_BL: Label ids, padded with anything.
        frame_lens_B: Valid frames per sequence, 0 to T.
        label_lens_B: Valid labels per sequence, 0 to L.
        topology: Which alignments count: ``rna``, ``rnnt``, ``ctc``, ``label_loop``,
            ``label_loop_free``, ``label_loop_original``.
        blank: Index of blank in V.
        infeasible: Cost of a sequence without any alignment, for example with more
            labels than frames: ``inf``, or ``zero`` as in the original. The gradient
            is zero in both cases. ``batch_cost`` sums up either.
        backend: ``auto``, or a name that ``espnet-ext doctor`` lists.

    Returns:
        nll_B in nats, at least float32.

    Raises:
        OptionError: An unknown topology, backend or option, or one that does not fit
            the others; an id outside the vocabulary.
        ToolMissingError: The backend is absent or computes something wrong.
        ValueError: Shapes or lengths do not fit.

    Ref: reference/losses.md 1 to 3; Graves 2012, equation 17, for rnnt.
    Differs from torchaudio and warp-transducer, also for rnnt, in that it takes
    log-probabilities: the gradient treats them as free variables.
    """
    topology = get_topology(topology)
    if infeasible not in INFEASIBLE:
        raise OptionError(
            f"infeasible {infeasible!r}: unknown cost", expected="inf or zero"
        )
    lengths = frame_lens_B, label_lens_B
    chosen = choose_backend(backend, topology, scores)
    if chosen.takes == "joint":
        return scores.full_sum(
            labels_BL, *lengths, topology, blank, infeasible=infeasible
        )
    check_scores(scores, labels_BL, *lengths, topology, blank)
    labels_BL, *lengths = (x.to(scores.device) for x in (labels_BL, *lengths))
    nll_B = chosen.loss(scores, labels_BL, *lengths, topology, blank)
    if infeasible == "zero":
        feasible_B = topology.feasible(*lengths, labels_BL)
        nll_B = nll_B.masked_fill(~feasible_B, 0.0)
    return nll_B


def arc_posteriors(
    scores: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
) -> Occupancies:
    """Posterior probability of each arc given the labels, float64, without gradient.

    Arguments as ``full_sum_loss`` with dense scores. The blank posteriors of a frame
    sum to 1 with rnnt; with the others, those of all arcs do.
    """
    topology = get_topology(topology)
    lengths = frame_lens_B, label_lens_B
    check_scores(scores, labels_BL, *lengths, topology, blank)
    labels_BL = labels_BL.to(scores.device)
    index = arc_index(labels_BL, label_lens_B)
    arcs = arc_scores(scores.detach(), index, topology, blank)
    return occupancies(arcs, labels_BL, *lengths, topology)


class BatchCost(NamedTuple):
    """What a batch costs, and who was left out.

    Attributes:
        total: Sum of the finite costs, with gradient. Never inf or nan.
        mean: The same over the number of sequences that count; 0 if none does.
        infeasible: Utterances without any alignment.
        not_finite: Utterances that have alignments and whose cost is nevertheless inf
            or nan: the scores are to blame, so a trainer should stop or skip.
    """

    total: torch.Tensor
    mean: torch.Tensor
    infeasible: List[str]
    not_finite: List[str]


def batch_cost(
    nll_B: torch.Tensor,
    feasible_B: torch.Tensor,
    utterance_ids: Optional[Sequence[str]] = None,
    *,
    infeasible: str = "inf",
) -> BatchCost:
    """Sum and mean of a batch in which some sequences may have no alignment.

    Args:
        nll_B: Of ``full_sum_loss``.
        feasible_B: Of ``Topology.feasible``.
        utterance_ids: Names for the report; ``row 0`` and so on if not given.
        infeasible: With ``inf``, infeasible sequences are left out of the mean; with
            ``zero`` they count as 0, as in the original.
    """
    feasible_B = feasible_B.to(nll_B.device)
    finite_B = torch.isfinite(nll_B)
    total = nll_B[feasible_B & finite_B].sum()
    counted_B = finite_B & feasible_B
    if infeasible == "zero":
        counted_B = counted_B | ~feasible_B
    names = list(utterance_ids or (f"row {row}" for row in range(len(nll_B))))
    reports = (
        [names[row] for row in mask_B.nonzero().flatten().tolist()]
        for mask_B in (~feasible_B, feasible_B & ~finite_B)
    )
    return BatchCost(total, total / counted_B.sum().clamp(min=1), *reports)
