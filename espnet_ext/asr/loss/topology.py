"""Which alignments of a label sequence count: one small object for each topology.

An alignment is a row of symbols, blanks and labels. Read from left to right it walks
through nodes (t, u): t frames are done, u labels are emitted. At a node it may take

    blank    goes to (t+1, u)
    label    y_{u+1}: to (t+1, u+1), or to (t, u+1) where labels take no frame (RNN-T)
    repeat   y_u once more: to (t+1, u), where a label may last several frames

and it ends at (T, L). The topologies differ in which of these are open:

| name                | label takes | repeat                                     |
|---------------------|-------------|--------------------------------------------|
| rna                 | a frame     | no                                         |
| rnnt                | no frame    | no; so the last symbol is always a blank   |
| label_loop          | a frame     | only directly after its label; equal       |
|                     |             | neighbours need a blank between them       |
| ctc                 | a frame     | as label_loop; scores ignore the position  |
| label_loop_free     | a frame     | anywhere once the first label is out       |
| label_loop_original | a frame     | as free, but not where u = t               |

Ref: rna: Sak et al. 2017, "Recurrent Neural Aligner", section 3. rnnt: Graves 2012,
"Sequence Transduction with Recurrent Neural Networks", section 2.4. ctc: Graves et al.
2006, section 3. The loops: reference/losses.md 3 (``label_loop_original`` has the
three peculiarities that it lists).
"""

# Dimensions: B batch, L labels
from dataclasses import dataclass
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import torch

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

BLANK, LABEL, REPEAT = "blank", "label", "repeat"


class Node(NamedTuple):
    """A point on an alignment: frames done, labels emitted, and what came last.

    Attributes:
        frame: Number of frames that are done.
        position: Number of labels that are emitted.
        in_label: Whether the last symbol was a label; only ``collapses`` looks at it.
    """

    frame: int
    position: int
    in_label: bool = False


@dataclass(frozen=True)
class Topology:
    """A set of alignments.

    Attributes:
        name: Its name in configurations.
        label_takes_frame: Whether a label ends its frame, as blank always does.
        repeats: Whether a label may be repeated without counting as a further one.
        collapses: Whether an alignment has to give the labels by CTC's rule: merge
            equal neighbours, then remove blanks.
        repeats_on_diagonal: Whether repetition is open in nodes with u = t.
        position_free: Whether scores do not depend on the position u.
    """

    name: str
    label_takes_frame: bool = True
    repeats: bool = False
    collapses: bool = False
    repeats_on_diagonal: bool = True
    position_free: bool = False

    def arcs(
        self, node: Node, frames: int, labels: Sequence[int]
    ) -> Iterator[Tuple[str, Node]]:
        """The arcs that leave a node: kind, and the node they lead to.

        This is the definition which everything else is measured by. An alignment is a
        walk from Node(0, 0) to (frames, len(labels)).
        """
        t, u, in_label = node
        if t == frames:
            return
        yield BLANK, Node(t + 1, u)
        if u < len(labels):
            same = 0 < u and labels[u - 1] == labels[u]
            if not (self.collapses and in_label and same):
                yield LABEL, Node(t + self.label_takes_frame, u + 1, self.collapses)
        if self.repeats and u > 0:
            after_label = in_label or not self.collapses
            if after_label and (u < t or self.repeats_on_diagonal):
                yield REPEAT, Node(t + 1, u, self.collapses)

    def steps(
        self, frame_lens_B: torch.Tensor, label_lens_B: torch.Tensor
    ) -> torch.Tensor:
        """Number of symbols in each alignment: T, or T + L where labels take none."""
        if self.label_takes_frame:
            return frame_lens_B
        return frame_lens_B + label_lens_B

    def feasible(
        self,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        labels_BL: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Whether a sequence has any alignment, boolean [B].

        Args:
            frame_lens_B: Valid frames.
            label_lens_B: Valid labels.
            labels_BL: The labels; only ``ctc`` and ``label_loop`` need them, because
                equal neighbours take one frame more.
        """
        if not self.label_takes_frame:
            return (frame_lens_B > 0) | (label_lens_B == 0)
        needed_B = label_lens_B
        if self.collapses:
            needed_B = needed_B + self.equal_neighbours(label_lens_B, labels_BL).sum(1)
        return frame_lens_B >= needed_B

    def equal_neighbours(
        self, label_lens_B: torch.Tensor, labels_BL: Optional[torch.Tensor]
    ) -> torch.Tensor:
        """Where labels u and u + 1 are equal, boolean [B, S]; entry u is that pair.

        Raises:
            ValueError: Without labels.
        """
        if labels_BL is None:
            raise ValueError(f"topology {self.name} depends on the labels: none given")
        batch, labels = labels_BL.shape
        equal_BS = labels_BL.new_zeros(batch, labels + 1, dtype=torch.bool)
        equal_BS[:, 1:labels] = labels_BL[:, 1:] == labels_BL[:, :-1]
        positions_S = torch.arange(labels + 1, device=labels_BL.device)
        return equal_BS & (positions_S < label_lens_B.unsqueeze(1))


_STRICT = {"repeats": True, "collapses": True}
_ALL = (
    Topology("rna"),
    Topology("rnnt", label_takes_frame=False),
    Topology("ctc", position_free=True, **_STRICT),
    Topology("label_loop", **_STRICT),
    Topology("label_loop_free", repeats=True),
    Topology("label_loop_original", repeats=True, repeats_on_diagonal=False),
)
TOPOLOGIES: Dict[str, Topology] = {topology.name: topology for topology in _ALL}


def get_topology(topology: Union[str, Topology]) -> Topology:
    """The topology of this name; an object passes through.

    Raises:
        OptionError: Nobody has that name; the nearest one is suggested.
    """
    if isinstance(topology, Topology):
        return topology
    if topology in TOPOLOGIES:
        return TOPOLOGIES[topology]
    near = nearest(topology, TOPOLOGIES)
    raise OptionError(
        f"unknown topology {topology!r}",
        expected=", ".join(TOPOLOGIES),
        next_step=f"did you mean {near}?" if near else None,
    )
