"""The lattice of a joint network, computed when it is known what it is needed for."""

# Dimensions: B batch, T frames, L labels, S positions, M nodes
import dataclasses
from typing import Tuple

import torch

from espnet_ext.alignment.corridor import Batch, Found, align_in_corridor
from espnet_ext.alignment.full_sums import path_and_sum
from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.fused import FusedJointLoss
from espnet_ext.asr.loss.lattice import chain_of
from espnet_ext.asr.loss.topology import Topology
from espnet_ext.asr.loss.viterbi import Alignment

CORRIDOR_WIDTH = 8  # positions of a step that a sure model needs
# multiplications in a step that have to be saved, for a corridor costs something too
LEAST_WORK = 1 << 24
THRESHOLD = 25.0  # nats: what is so far below the best is left
SAFETY = 1.25  # times the cost of a path that was guessed from its first steps
HIGHEST_COST = 50.0  # nats: a corridor for more is hardly smaller than the lattice
Result = Tuple[Alignment, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class JointLattice:
    """A lattice whose scores are parts of one distribution a node.

    Attributes:
        fused: The joint network, with neither dropout nor a label scale.
        labels_BL, frame_lens_B, label_lens_B: The batch.
        topology: Which alignments there are.
        threshold: A first corridor leaves what is so many nats below the best.
        least_work: Multiplications in a step that a corridor has to save.
    """

    fused: FusedJointLoss
    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor
    topology: Topology
    threshold: float = THRESHOLD
    least_work: int = LEAST_WORK

    def arcs(self) -> ArcScores:
        """Scores of all arcs."""
        lengths = self.frame_lens_B, self.label_lens_B
        return self.fused.arc_scores(self.labels_BL, *lengths, self.topology)

    def path_and_sum(self, blank: int, method: str) -> Result:
        """An alignment of each sequence, and the log of the sum over all [B].

        Where a corridor is worth it, it is tried first; what it does not prove is done
        again in a wider one, or in the whole lattice.
        """
        if method != "exact" or not self._is_worth_a_corridor():
            return self._whole(blank, method)
        threshold_B = torch.full(self.label_lens_B.shape, self.threshold)
        found = self._corridor(blank, threshold_B)
        result = found.path, found.total_B
        again_B = ~found.proven_B & (found.cost_B < HIGHEST_COST)
        whole_B = ~found.proven_B & ~again_B
        if bool(again_B.any()):
            rows_B = again_B.nonzero().squeeze(1)
            threshold_B = self.threshold + SAFETY * found.cost_B[rows_B]
            again = self.select(rows_B)._corridor(blank, threshold_B)
            _put(result, rows_B, (again.path, again.total_B))
            whole_B[rows_B] = ~again.proven_B
        if bool(whole_B.any()):
            rows_B = whole_B.nonzero().squeeze(1)
            _put(result, rows_B, self.select(rows_B)._whole(blank, method))
        return result

    def select(self, rows_B: torch.Tensor) -> "JointLattice":
        """The lattices of some sequences."""
        return dataclasses.replace(
            self,
            fused=self.fused.select(rows_B),
            labels_BL=self.labels_BL[rows_B],
            frame_lens_B=self.frame_lens_B[rows_B],
            label_lens_B=self.label_lens_B[rows_B],
        )

    def _is_worth_a_corridor(self) -> bool:
        """Whether it is possible, and likely to be faster."""
        if (
            self.fused.device.type != "cpu"
            or self.topology.repeats
            or self.fused.options.label_scale != 1.0
        ):
            return False
        frames_B, labels_B = self.frame_lens_B, self.label_lens_B
        nodes_B = frames_B * (labels_B + 1)
        if self.topology.label_takes_frame:
            nodes_B = nodes_B - labels_B.square()
        width_B = nodes_B / self.topology.steps(frames_B, labels_B).clamp(min=1)
        saved = float((width_B - CORRIDOR_WIDTH).clamp(min=0).sum())
        return saved * self.fused.inputs[2].numel() >= self.least_work

    def _corridor(self, blank: int, threshold_B: torch.Tensor) -> Found:
        lengths = self.frame_lens_B, self.label_lens_B
        scores = self.fused.node_scorer(self.labels_BL, *lengths, self.topology)
        frames = self.fused.inputs[0].size(1)
        batch = Batch(self.labels_BL, *lengths, self.topology, frames)
        return align_in_corridor(scores, batch, blank, threshold_B)

    def _whole(self, blank: int, method: str) -> Result:
        lengths = self.frame_lens_B, self.label_lens_B
        chain = chain_of(self.arcs(), self.labels_BL, *lengths, self.topology)
        return path_and_sum(chain, self.labels_BL, blank, method)


def _put(result: Result, rows_B: torch.Tensor, of_rows: Result) -> None:
    """Replace the results of some sequences."""
    for ours, theirs in zip((*result[0], result[1]), (*of_rows[0], of_rows[1])):
        ours[rows_B] = theirs
