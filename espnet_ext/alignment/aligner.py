"""Alignments of a batch from the scores of its arcs.

``exact`` is the best path, ``sum_alpha`` the original's, see ``asr/loss/viterbi.py``.
``posterior`` is the path with the highest sum of arc posteriors, that is the one with
the most expected frames in common with a path drawn from the model.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, N symbols
from typing import List, NamedTuple, Optional, Sequence, Union

import torch

from espnet_ext.alignment.frame_scores import FrameScores
from espnet_ext.alignment.full_sums import path_and_sum
from espnet_ext.alignment.joint_lattice import JointLattice
from espnet_ext.alignment.paths import walk
from espnet_ext.alignment.store import Aligned
from espnet_ext.asr.loss.chain import IMPOSSIBLE, ArcScores
from espnet_ext.asr.loss.lattice import chain_of, occupancies
from espnet_ext.asr.loss.topology import BLANK, LABEL, Topology, get_topology
from espnet_ext.asr.loss.viterbi import METHODS, viterbi
from espnet_ext.errors import OptionError

POSTERIOR = "posterior"
ALL_METHODS = (*METHODS, POSTERIOR)


class Soft(NamedTuple):
    """Posteriors of one sequence, float32: blank [T, S], label [T, S].

    ``label[t, u]`` is the probability that label u + 1 comes in frame t, or is repeated
    there. Blank and labels of a frame sum to 1 where labels take a frame.
    """

    blank: torch.Tensor
    label: torch.Tensor


class BatchResult(NamedTuple):
    """One entry a sequence: the alignment or None, and posteriors if wanted."""

    aligned: List[Optional[Aligned]]
    soft: List[Optional[Soft]]


@torch.no_grad()
def align_batch(
    scores: Union[ArcScores, FrameScores, JointLattice],
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
    method: str = "exact",
    soft: bool = False,
) -> BatchResult:
    """Align each sequence; those without any alignment give None.

    Args:
        scores: Log scores of the arcs.
        labels_BL: Label ids, padded with anything.
        frame_lens_B, label_lens_B: Valid lengths.
        topology: Which alignments there are.
        blank: Id that stands for blank in the result.
        method: One of ALL_METHODS.
        soft: Whether to give the posteriors too.

    Raises:
        OptionError: Unknown method.
    """
    topology = get_topology(topology)
    if method not in ALL_METHODS:
        raise OptionError(
            f"unknown method {method!r} of alignment", expected=", ".join(ALL_METHODS)
        )
    batch = labels_BL, frame_lens_B, label_lens_B, topology
    posteriors = None
    if soft or method == POSTERIOR:
        scores = scores if isinstance(scores, ArcScores) else scores.arcs()
        posteriors = occupancies(scores, *batch)
    if method == POSTERIOR:
        found, total_B = viterbi(ArcScores(*posteriors[1:]), *batch, blank), None
    elif isinstance(scores, ArcScores):
        chain = chain_of(scores, *batch)
        found, total_B = path_and_sum(chain, labels_BL, blank, method)
    elif isinstance(scores, JointLattice):  # which has the batch already
        found, total_B = scores.path_and_sum(blank, method)
    else:
        found, total_B = scores.path_and_sum(*batch[:3], blank, method)
    if posteriors is not None:
        total_B = -posteriors.nll_B
    symbols_BN, totals = found.symbols_BN.cpu(), total_B.tolist()
    path_scores = found.score_B.tolist()
    steps = topology.steps(frame_lens_B, label_lens_B).tolist()
    aligned: List[Optional[Aligned]] = []
    lists = labels_BL.tolist(), label_lens_B.tolist(), frame_lens_B.tolist()
    for b, (labels, count, frames) in enumerate(zip(*lists)):
        if totals[b] == IMPOSSIBLE:
            aligned.append(None)
            continue
        symbols = symbols_BN[b, : steps[b]].int().numpy()
        labels = torch.tensor(labels[:count], dtype=torch.int32).numpy()
        score = path_scores[b]
        if method == POSTERIOR:
            score = score_of(
                scores, b, symbols.tolist(), labels, frames, topology, blank
            )
        aligned.append(Aligned(symbols, labels, frames, score, totals[b]))
    softs: List[Optional[Soft]] = [None] * len(aligned)
    if soft:
        softs = [
            None if x is None else _soft(posteriors, b, x)
            for b, x in enumerate(aligned)
        ]
    return BatchResult(aligned, softs)


def score_of(
    scores: ArcScores,
    row: int,
    symbols: Sequence[int],
    labels: Sequence[int],
    frames: int,
    topology: Union[str, Topology],
    blank: int,
) -> float:
    """Score of given symbols of one sequence of a batch.

    Raises:
        FormatError: The symbols are no alignment of the labels.
    """
    tables = [None if x is None else x[row].double().tolist() for x in scores]

    def score(kind: str, frame: int, position: int) -> float:
        table = tables[0 if kind == BLANK else 1 if kind == LABEL else 2]
        return table[frame][position]

    labels = [int(label) for label in labels]
    return walk(symbols, labels, frames, get_topology(topology), blank, score)[1]


def _soft(posteriors, row: int, aligned: Aligned) -> Soft:
    _, blank_BTS, label_BTS, repeat_BTS = posteriors
    part = (row, slice(aligned.frames), slice(len(aligned.labels) + 1))
    label = label_BTS[part].clone()
    if repeat_BTS is not None:  # label u is repeated in position u, not in u - 1
        label[:, :-1] += repeat_BTS[part][:, 1:]
    return Soft(blank_BTS[part].float().cpu(), label.float().cpu())
