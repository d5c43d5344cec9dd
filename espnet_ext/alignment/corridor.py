"""Best path and full sum of a joint network in a corridor, and whether they are exact.

The scores of a locally normalised model are log-probabilities. So no alignment through
a node scores more than the best way to that node, and all alignments through it add up
to at most the sum of all ways to it. The lattice is computed in blocks of steps; after
each, positions far below the best one are left, and it is kept how good the best of
those was, and the sum of all. If the path that is found scores higher than anything
that was left, it is the best of all; and the sum misses no more than what was left.

A step of rna is a frame, one of rnnt a symbol (n = t + u), see ``asr/loss/chain.py``.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions,
#             N steps, K steps of a block, M nodes of a block
from typing import Callable, List, NamedTuple, Tuple

import torch

from espnet_ext.alignment.full_sums import add_products, smallest_sum
from espnet_ext.asr.loss.chain import IMPOSSIBLE, Arc, Chain
from espnet_ext.asr.loss.fused_scores import NodeScores
from espnet_ext.asr.loss.topology import BLANK, LABEL, Topology
from espnet_ext.asr.loss.viterbi import Alignment, trace_back, walk

BLOCK_STEPS = 6
ROUND_NODES = 64
RESOLUTION = 1e-7  # of the sum, in nats: less than single precision resolves
ROUNDING = 1e-3  # nats by which rounding may lift what continues a node

# (rows among B T frames [M], rows among B S positions [M]) to the scores there
NodeScorer = Callable[[torch.Tensor, torch.Tensor], NodeScores]


class Batch(NamedTuple):
    """Sequences to align, padded to T frames and L labels.

    Attributes:
        labels_BL: Label ids, padded with anything.
        frame_lens_B, label_lens_B: Valid lengths.
        topology: ``rna`` or ``rnnt``.
        frames: T.
    """

    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor
    topology: Topology
    frames: int

    @property
    def steps(self) -> int:
        """N, the longest alignment there can be."""
        takes_frame = self.topology.label_takes_frame
        return self.frames + (0 if takes_frame else self.labels_BL.size(1))


class Found(NamedTuple):
    """Result of a corridor.

    Attributes:
        path: The best path in it.
        total_B: Log of the sum of all paths in it.
        proven_B: Whether both are those of the whole lattice.
        cost_B: Negative score of the best path, in nats; guessed from the first steps
            where the sequence was given up.
    """

    path: Alignment
    total_B: torch.Tensor
    proven_B: torch.Tensor
    cost_B: torch.Tensor


def align_in_corridor(
    scores: NodeScorer,
    batch: Batch,
    blank: int,
    threshold_B: torch.Tensor,
    block: int = BLOCK_STEPS,
) -> Found:
    """Align with the nodes that stay near the best of their step.

    A sequence is given up, with a score of -inf, when it is clear that what was left
    cannot be excluded.

    Args:
        scores: Of a model whose two scores of a node are parts of a distribution.
        batch: What to align.
        blank: Id that stands for blank.
        threshold_B: Leave positions whose best way is so many nats below the best.
        block: Steps between two decisions.
    """
    corridor = _Corridor(scores, batch)
    for start in range(0, corridor.steps, block):
        stop = min(start + block, corridor.steps)
        corridor.fill(start, stop)
        corridor.leave(stop, threshold_B)
        if not bool(corridor.hopeful_B.any()):
            break
    return corridor.result(blank)


class _Corridor:
    """Tables of the lattice, and the positions that are walked on from."""

    def __init__(self, scores: NodeScorer, batch: Batch):
        self.scores, self.batch = scores, batch
        rows, labels = batch.labels_BL.shape
        self.skewed = not batch.topology.label_takes_frame
        self.steps = batch.steps
        self.steps_B = batch.topology.steps(batch.frame_lens_B, batch.label_lens_B)
        device = batch.labels_BL.device
        self.position_S = torch.arange(labels + 1, device=device)
        self.number_N1 = torch.arange(self.steps + 1, device=device).unsqueeze(1)
        self.first_NB, self.last_NB = self._band()

        def table(steps: int, value: float) -> torch.Tensor:
            size_NBS = steps, rows, labels + 1
            return torch.full(size_NBS, value, dtype=torch.float64, device=device)

        # scores of blank and label, best ways, sums of all ways, and the best arcs
        self.tables = [table(self.steps, IMPOSSIBLE) for _ in range(2)]
        self.alpha_NBS = table(self.steps + 1, IMPOSSIBLE)
        self.sums_NBS = table(self.steps + 1, 0.0)
        self.alpha_NBS[0, :, 0], self.sums_NBS[0, :, 0] = 0.0, 1.0
        self.arc_NBS = torch.zeros_like(self.tables[0], dtype=torch.int8)
        self.lowest_B = self.highest_B = torch.zeros_like(batch.label_lens_B)
        self.left_B = self.alpha_NBS.new_full((rows,), IMPOSSIBLE)
        self.left_sum_B = self.alpha_NBS.new_zeros(rows)
        self.hopeful_B = self.first_NB[0] == 0
        self.cost_B = self.alpha_NBS.new_zeros(rows)

    def _band(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """First and last position [N + 1, B] of each step on a complete alignment."""
        lengths_B, labels_B = self.batch.frame_lens_B, self.batch.label_lens_B
        if self.skewed:  # all but the last node have a frame left
            first_NB = torch.minimum(self.number_N1 - lengths_B + 1, labels_B)
        else:
            first_NB = labels_B - (lengths_B - self.number_N1)
        first_NB = first_NB.clamp(min=0)
        first_NB = first_NB.masked_fill(self.number_N1 > self.steps_B, self.steps + 1)
        return first_NB, torch.minimum(self.number_N1, labels_B)

    def _arcs(self, part: slice) -> List[Arc]:
        return [
            Arc(offset, table_NBS[part].transpose(0, 1), (kind, kind))
            for offset, (kind, table_NBS) in enumerate(zip((BLANK, LABEL), self.tables))
        ]

    def _nodes(self, start: int, stop: int) -> torch.Tensor:
        """Step after ``start``, sequence and position [M, 3] of what can be reached."""
        part = slice(start, stop)
        from_KB = torch.maximum(self.first_NB[part], self.lowest_B)
        reach_KB = self.highest_B + (self.number_N1[part] - start)
        to_KB = torch.minimum(self.last_NB[part], reach_KB)
        to_KB.masked_fill_(self.number_N1[part] >= self.steps_B, -1)
        inside_KBS = self.position_S >= from_KB.unsqueeze(2)
        inside_KBS &= self.position_S <= to_KB.unsqueeze(2)
        return inside_KBS.nonzero()

    def fill(self, start: int, stop: int) -> None:
        """Compute the steps from ``start`` to ``stop``."""
        part, window = slice(start, stop), slice(start, stop + 1)
        node_M3 = self._nodes(start, stop)
        count = len(node_M3)
        if count:
            # products of a size not seen before take longer to begin
            missing = -count % ROUND_NODES
            padded_M3 = torch.cat([node_M3, node_M3[-1:].expand(missing, 3)])
            step_M, sequence_M, position_M = padded_M3.unbind(1)
            frame_M = sequence_M * self.batch.frames + step_M + start
            if self.skewed:
                frame_M -= position_M
            row_M = sequence_M * len(self.position_S) + position_M
            _, blank_M, label_M, _ = self.scores(frame_M, row_M)
            place = node_M3.unbind(1)
            for table_NBS, values_M in zip(self.tables, (blank_M, label_M)):
                table_NBS[part].index_put_(place, values_M[:count])
        arcs = self._arcs(part)
        self.arc_NBS[part] = walk(arcs, self.alpha_NBS[window])
        weights = [score_BKS.exp() for _, score_BKS, _ in arcs]
        add_products(arcs, weights, self.sums_NBS[window])

    def leave(self, step: int, threshold_B: torch.Tensor) -> None:
        """Go on from the positions near the best, and keep what the others had."""
        open_BS = self.position_S >= self.first_NB[step].unsqueeze(1)
        open_BS &= self.position_S <= self.last_NB[step].unsqueeze(1)
        # what cannot be completed is not missed
        alpha_BS = self.alpha_NBS[step].masked_fill_(~open_BS, IMPOSSIBLE)
        sum_BS = self.sums_NBS[step].masked_fill_(~open_BS, 0.0)
        best_B = alpha_BS.amax(1)
        near_BS = open_BS & (alpha_BS >= (best_B - threshold_B).unsqueeze(1))
        self.lowest_B = self.position_S.where(near_BS, len(self.position_S)).amin(1)
        self.highest_B = self.position_S.where(near_BS, -1).amax(1)
        left_BS = self.position_S < self.lowest_B.unsqueeze(1)
        left_BS |= self.position_S > self.highest_B.unsqueeze(1)
        left_B = alpha_BS.masked_fill(~left_BS, IMPOSSIBLE).amax(1)
        self.left_B = torch.maximum(self.left_B, left_B)
        self.left_sum_B += sum_BS.masked_fill(~left_BS, 0.0).sum(1)
        alpha_BS.masked_fill_(left_BS, IMPOSSIBLE)
        sum_BS.masked_fill_(left_BS, 0.0)
        # neither path nor sum can become higher than they are now
        lost_B = ~self._excludes(best_B, sum_BS.sum(1)) & (self.steps_B > step)
        cost_B = -best_B * (self.steps_B / step)
        self.cost_B = self.cost_B.where(~(lost_B & self.hopeful_B), cost_B)
        self.hopeful_B &= ~lost_B
        self.highest_B.masked_fill_(~self.hopeful_B, -1)

    def _excludes(self, score_B: torch.Tensor, sum_B: torch.Tensor) -> torch.Tensor:
        """Whether path and sum make sure that what was left does not matter."""
        small_B = self.left_sum_B <= RESOLUTION * sum_B
        return (score_B > self.left_B + ROUNDING) & small_B

    def result(self, blank: int) -> Found:
        """What was found, after the last step."""
        labels_BL, _, labels_B, *_ = self.batch
        arcs = self._arcs(slice(None))
        chain = Chain(arcs, self.steps_B, labels_B + 1, False, self.skewed)
        path = trace_back(chain, self.alpha_NBS, self.arc_NBS, labels_BL, blank)
        rows_B = torch.arange(len(labels_B), device=labels_B.device)
        sum_B = self.sums_NBS[self.steps_B, rows_B, labels_B]
        total_B = sum_B.log()
        proven_B = self._excludes(path.score_B, sum_B) & self.hopeful_B
        proven_B &= total_B > smallest_sum(self.steps, len(arcs))
        proven_B |= self.first_NB[0] > 0  # no alignment is complete
        cost_B = self.cost_B.where(~self.hopeful_B, -path.score_B)
        return Found(path, total_B, proven_B, cost_B)
