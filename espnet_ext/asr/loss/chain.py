"""Every topology as a chain: arcs that spend one step and lead 0, 1 or 2 states on.

That is all the recursion in ``lattice.py`` has to know, and a chain read from its end
is a chain again, so that forward and backward pass are the same loop.

* rna and the free loops: a step is a frame, a state is a position u.
* rnnt: a step is a symbol, n = t + u. Blank leads from (n, u) to (n + 1, u) and a label
  to (n + 1, u + 1): the lattice of rna, skewed.
* ctc and label_loop: a step is a frame; position u is split into the states 2 u (the
  last frame was blank) and 2 u - 1 (it was label u), as in Graves et al. 2006, 4.1.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, N steps, Z states
from typing import List, NamedTuple, Optional, Tuple

import torch

from espnet_ext.asr.loss.topology import BLANK, LABEL, REPEAT, Topology

IMPOSSIBLE = float("-inf")


class ArcScores(NamedTuple):
    """Log scores of the arcs that leave each node, any float type.

    Padded nodes, and nodes on no complete path, may hold anything.

    Attributes:
        blank_BTS: Blank in frame t after u labels.
        label_BTS: Label u + 1 there; the last position is ignored.
        repeat_BTS: Label u once more; position 0 is ignored. None where the topology
            does not repeat.
    """

    blank_BTS: torch.Tensor
    label_BTS: torch.Tensor
    repeat_BTS: Optional[torch.Tensor] = None


class Arc(NamedTuple):
    """One kind of arc of a chain.

    Attributes:
        offset: How many states it leads on.
        score_BNZ: Log score, float64; -inf where there is no such arc.
        kinds: What it is in the even and in the odd states it leaves from.
    """

    offset: int
    score_BNZ: torch.Tensor
    kinds: Tuple[str, str]


class Chain(NamedTuple):
    """A lattice as a chain.

    Attributes:
        arcs: In order of preference when two are equally good: blank first.
        steps_B: Number of steps of each sequence.
        states_B: Number of states of each sequence.
        split: Whether positions are split in two states.
        skewed: Whether a step is a symbol, not a frame.
    """

    arcs: List[Arc]
    steps_B: torch.Tensor
    states_B: torch.Tensor
    split: bool
    skewed: bool

    def label_count(self, states: torch.Tensor) -> torch.Tensor:
        """The position u, labels emitted so far, of each state."""
        return (states + 1) // 2 if self.split else states

    @staticmethod
    def emits_blank(arc: Arc, states: torch.Tensor) -> torch.Tensor:
        """Whether the arc is a blank in the states it leaves."""
        even_kind, odd_kind = arc.kinds
        even = states % 2 == 0
        return (even & (even_kind == BLANK)) | (~even & (odd_kind == BLANK))


def unfold(
    scores: ArcScores,
    band_BTS: torch.Tensor,
    equal_BS: Optional[torch.Tensor],
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
) -> Chain:
    """The chain of a lattice.

    Args:
        scores: Arc scores; only those in nodes of the band are read.
        band_BTS: The nodes on any complete path.
        equal_BS: ``Topology.equal_neighbours``, for the topologies that collapse.
        frame_lens_B: Valid frames.
        label_lens_B: Valid labels.
        topology: Which arcs there are.
    """
    frames, positions = band_BTS.shape[1:]
    positions_S = torch.arange(positions, device=band_BTS.device)
    more_B1S = (positions_S < label_lens_B.unsqueeze(1)).unsqueeze(1)
    blank = _masked(scores.blank_BTS, band_BTS)
    label = _masked(scores.label_BTS, band_BTS & more_B1S)
    steps_B = topology.steps(frame_lens_B, label_lens_B)
    if not topology.repeats:
        if not topology.label_takes_frame:
            blank, label = _skew(blank), _skew(label)
        arcs = [Arc(0, blank, (BLANK,) * 2), Arc(1, label, (LABEL,) * 2)]
        skewed = not topology.label_takes_frame
        return Chain(arcs, steps_B, label_lens_B + 1, False, skewed)
    open_BTS = band_BTS & (positions_S > 0)
    if not topology.repeats_on_diagonal:
        frames_T1 = torch.arange(frames, device=band_BTS.device).unsqueeze(1)
        open_BTS = open_BTS & (positions_S != frames_T1)
    repeat = _masked(scores.repeat_BTS, open_BTS)
    if not topology.collapses:
        arcs = [
            Arc(0, blank, (BLANK,) * 2),
            Arc(1, label, (LABEL,) * 2),
            Arc(0, repeat, (REPEAT,) * 2),
        ]
        return Chain(arcs, steps_B, label_lens_B + 1, False, False)
    direct = label.masked_fill(equal_BS.unsqueeze(1), IMPOSSIBLE)
    nothing = torch.full_like(label, IMPOSSIBLE)
    arcs = [
        Arc(0, _interleave(blank, repeat), (BLANK, REPEAT)),
        Arc(1, _interleave(label, blank), (LABEL, BLANK)),
        Arc(2, _interleave(nothing, direct), (LABEL, LABEL)),
    ]
    return Chain(arcs, steps_B, 2 * label_lens_B + 1, True, False)


def fold(values: List[torch.Tensor], chain: Chain, frames: int) -> ArcScores:
    """The inverse for what belongs to arcs: values [B, N, Z] of each, summed a node."""
    if chain.split:
        stay, step, skip = values
        blank, label = stay[..., 0::2].clone(), step[..., 0::2].clone()
        repeat = torch.zeros_like(blank)
        blank[..., 1:] += step[..., 1::2]
        label[..., 1:] += skip[..., 1::2]
        repeat[..., 1:] = stay[..., 1::2]
        return ArcScores(blank, label, repeat)
    if chain.skewed:
        values = [_unskew(value, frames) for value in values]
    return ArcScores(*values)


def _masked(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x.double().masked_fill(~mask, IMPOSSIBLE)


def _interleave(even_BTS: torch.Tensor, odd_BTS: torch.Tensor) -> torch.Tensor:
    """[B, T, 2 S - 1]: positions' even states, and odd ones of all but the first."""
    both = torch.stack([odd_BTS, even_BTS], dim=3).flatten(2)
    return both[..., 1:]


def _skew(x_BTS: torch.Tensor) -> torch.Tensor:
    """[B, T + S - 1, S] with y[n, u] = x[n - u, u]; -inf where no node is."""
    batch, frames, positions = x_BTS.shape
    device = x_BTS.device
    steps_N1 = torch.arange(frames + positions - 1, device=device).unsqueeze(1)
    frame_NS = steps_N1 - torch.arange(positions, device=device)
    outside_NS = (frame_NS < 0) | (frame_NS >= frames)
    if frames == 0:
        return x_BTS.new_full((batch, *frame_NS.shape), IMPOSSIBLE)
    index = frame_NS.clamp(0, frames - 1).expand(batch, -1, -1)
    return x_BTS.gather(1, index).masked_fill(outside_NS, IMPOSSIBLE)


def _unskew(y_BNS: torch.Tensor, frames: int) -> torch.Tensor:
    batch, _, positions = y_BNS.shape
    frames_T1 = torch.arange(frames, device=y_BNS.device).unsqueeze(1)
    index_TS = frames_T1 + torch.arange(positions, device=y_BNS.device)
    return y_BNS.gather(1, index_TS.expand(batch, -1, -1))
