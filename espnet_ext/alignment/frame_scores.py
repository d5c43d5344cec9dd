"""Scores of an output layer on the encoder, which are the same in all positions.

Then an arc has the score of the symbol it leads to, and CTC's chain is one table of
symbols by state, read three times with different offsets.
"""

# Dimensions: B batch, T frames = N steps, L labels, S = L + 1 positions,
#             Z = 2 L + 1 states: 2 u after a blank, 2 u - 1 in label u
from typing import List, NamedTuple, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.alignment.full_sums import path_and_sum
from espnet_ext.asr.loss.chain import IMPOSSIBLE, Arc, ArcScores, Chain
from espnet_ext.asr.loss.lattice import chain_of
from espnet_ext.asr.loss.topology import BLANK, LABEL, REPEAT, Topology
from espnet_ext.asr.loss.viterbi import Alignment


class FrameScores(NamedTuple):
    """Log scores of the symbols of each sequence.

    Attributes:
        blank_BT: Of blank.
        label_BTL: Of label u + 1; anything where there is none.
        topology: Which arcs there are.
    """

    blank_BT: torch.Tensor
    label_BTL: torch.Tensor
    topology: Topology

    def arcs(self) -> ArcScores:
        """The same as scores of arcs."""
        label_BTS = F.pad(self.label_BTL, (0, 1))
        blank_BTS = self.blank_BT.unsqueeze(2).expand_as(label_BTS)
        # what repeats in position u is the label that led there
        repeat_BTS = label_BTS.roll(1, 2) if self.topology.repeats else None
        return ArcScores(blank_BTS, label_BTS, repeat_BTS)

    def path_and_sum(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        blank: int,
        method: str,
    ) -> Tuple[Alignment, torch.Tensor]:
        """An alignment of each sequence, and the log of the sum over all [B]."""
        batch = labels_BL, frame_lens_B, label_lens_B
        if self.topology.collapses:
            batch = (x.to(self.blank_BT.device) for x in batch)
            chain, weights = self._collapsing(*batch)
        else:
            chain, weights = chain_of(self.arcs(), *batch, self.topology), None
        return path_and_sum(chain, labels_BL, blank, method, weights)

    def _collapsing(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
    ) -> Tuple[Chain, List[torch.Tensor]]:
        """The chain of a topology that collapses, and exp of the scores of its arcs.

        Unlike that of ``chain.unfold`` it also has arcs that are on no complete
        alignment: they change neither the best path nor the sum.
        """
        batch, frames, labels = self.label_BTL.shape
        states = 2 * labels + 1
        # wider than there are states by the length of the longest arc
        size_NBZ = frames, batch, states + 2
        table_NBZ = self.blank_BT.new_full(size_NBZ, IMPOSSIBLE, dtype=torch.float64)
        table_NBZ[..., 0:states:2] = self.blank_BT.t().unsqueeze(2)
        table_NBZ[..., 1:states:2] = self.label_BTL.transpose(0, 1)
        # from one label to the next, if they differ
        closed_BZ = labels_BL.new_ones(batch, states, dtype=torch.bool)
        equal_BS = self.topology.equal_neighbours(label_lens_B, labels_BL)
        closed_BZ[:, 1::2] = equal_BS[:, 1:]
        skip_NBZ = table_NBZ[..., 2:].masked_fill(closed_BZ, IMPOSSIBLE)
        scores = table_NBZ[..., :states], table_NBZ[..., 1:-1], skip_NBZ
        kinds = (BLANK, REPEAT), (LABEL, BLANK), (LABEL, LABEL)
        arcs = [
            Arc(offset, score_NBZ.transpose(0, 1), kind)
            for offset, (score_NBZ, kind) in enumerate(zip(scores, kinds))
        ]
        weight_NBZ = table_NBZ.exp()
        skip_NBZ = weight_NBZ[..., 2:].masked_fill(closed_BZ, 0.0)
        weights = weight_NBZ[..., :states], weight_NBZ[..., 1:-1], skip_NBZ
        chain = Chain(arcs, frame_lens_B, 2 * label_lens_B + 1, True, False)
        return chain, [x.transpose(0, 1) for x in weights]
