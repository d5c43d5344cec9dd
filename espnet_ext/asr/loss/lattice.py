"""The dynamic program: sums over all alignments, and posteriors of all arcs.

On the chain of ``chain.py``, with score_a(n, z) of arc a, which leads o_a states on,

    alpha(0, 0) = 0
    alpha(n + 1, z) = log sum_a exp(alpha(n, z - o_a) + score_a(n, z - o_a))
    beta(n, z)      = log sum_a exp(score_a(n, z) + beta(n + 1, z + o_a))
    nll = -beta(0, 0)
    posterior_a(n, z) = exp(alpha(n, z) + score_a(n, z) + beta(n + 1, z + o_a) + nll)

For rna this is alpha(t + 1, u) = logaddexp(alpha(t, u) + blank(t, u),
alpha(t, u - 1) + label(t, u - 1)). The gradient of nll at a score is -posterior.

Ref: reference/losses.md 1 to 3; Graves 2012, equations 16 to 20, for rnnt.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, N steps, Z states
import functools
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import torch

from espnet_ext.asr.loss.chain import IMPOSSIBLE, ArcScores, Chain, fold, unfold
from espnet_ext.asr.loss.topology import Topology, get_topology

__all__ = ["ArcScores", "Occupancies", "band_mask", "occupancies"]

Recursion = Callable[[Dict[int, torch.Tensor], torch.Tensor], torch.Tensor]

# an occupancy below it is a denormal number in single precision, which makes matrix
# products several times slower, and changes nothing
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


class Occupancies(NamedTuple):
    """Result of the dynamic program, all in float64.

    Attributes:
        nll_B: Negative log of the sum over all alignments; inf if there is none.
        blank_BTS: Posterior probability of the blank arc in each node.
        label_BTS: Posterior of the arc with label u + 1; 0 in the last position.
        repeat_BTS: Posterior of label u once more; None unless the topology repeats.
    """

    nll_B: torch.Tensor
    blank_BTS: torch.Tensor
    label_BTS: torch.Tensor
    repeat_BTS: Optional[torch.Tensor]


@torch.no_grad()
def occupancies(
    scores: ArcScores,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
    recursion: Optional[Recursion] = None,
) -> Occupancies:
    """Full sum and posteriors of all arcs.

    Args:
        scores: Log scores of the arcs, any float type.
        labels_BL: Label ids; only whether neighbours are equal matters, and only for
            ``ctc`` and ``label_loop``.
        frame_lens_B: Valid frames, at most T.
        label_lens_B: Valid labels, at most L.
        topology: Name or object.
        recursion: Of ``forward_backward``.

    Returns:
        Occupancies; all zero outside the valid nodes and for sequences without any
        alignment. The posteriors of all arcs that end a frame sum to 1 in each valid
        frame.
    """
    chain = chain_of(scores, labels_BL, frame_lens_B, label_lens_B, topology)
    alpha_BNZ, beta_BNZ = forward_backward(chain, recursion)
    total_B = beta_BNZ[:, 0, 0]
    # where there is no path, all posteriors are exp(-inf) and not exp(nan)
    shift_B = total_B.masked_fill(~torch.isfinite(total_B), -IMPOSSIBLE)
    shift_B11 = shift_B[:, None, None]
    posteriors: List[torch.Tensor] = []
    for offset, score_BNZ, _ in chain.arcs:
        posterior = torch.zeros_like(score_BNZ)
        states = score_BNZ.size(2) - offset
        if states > 0:
            log = alpha_BNZ[:, :-1, :states] + score_BNZ[..., :states]
            log = log.add_(beta_BNZ[:, 1:, offset:]).sub_(shift_B11)
            posterior[..., :states] = torch.nan_to_num_(log.exp_(), nan=0.0)
        posteriors.append(posterior.masked_fill_(posterior < SMALLEST_NORMAL, 0.0))
    folded = fold(posteriors, chain, scores.blank_BTS.size(1))
    return Occupancies(-total_B, *folded)


def chain_of(
    scores: ArcScores,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
) -> Chain:
    """The chain that ``forward_backward`` and the searches for one path walk along."""
    topology = get_topology(topology)
    device = scores.blank_BTS.device
    frame_lens_B, label_lens_B = frame_lens_B.to(device), label_lens_B.to(device)
    labels_BL = labels_BL.to(device)
    lattice = scores.blank_BTS.shape[1:]
    band_BTS = band_mask(frame_lens_B, label_lens_B, topology, labels_BL, lattice)
    equal_BS = None
    if topology.collapses:
        equal_BS = topology.equal_neighbours(label_lens_B, labels_BL)
    return unfold(scores, band_BTS, equal_BS, frame_lens_B, label_lens_B, topology)


def band_mask(
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
    labels_BL: Optional[torch.Tensor] = None,
    lattice: Optional[Tuple[int, int]] = None,
) -> torch.Tensor:
    """The nodes that lie on any complete alignment, boolean [B, T, S].

    For rna these are u <= t, L - u <= T - t with t frames done before: T (L + 1) - L^2
    of T (L + 1) nodes, about. For rnnt it is every valid node.

    Args:
        frame_lens_B: Valid frames.
        label_lens_B: Valid labels.
        topology: Name or object.
        labels_BL: With them the mask is exact for ``ctc`` and ``label_loop``, where
            equal neighbours cost a frame; without, it has a few nodes too many.
        lattice: T and S; the largest lengths if not given.
    """
    topology = get_topology(topology)
    lengths = frame_lens_B, label_lens_B
    if lattice is None:
        frames, labels = (max(x.tolist(), default=0) for x in lengths)
        lattice = frames, labels + 1
    device = frame_lens_B.device
    t_T1 = torch.arange(lattice[0], device=device).unsqueeze(1)
    u_S = torch.arange(lattice[1], device=device)
    frames_B11, labels_B11 = frame_lens_B[:, None, None], label_lens_B[:, None, None]
    valid_BTS = (t_T1 < frames_B11) & (u_S <= labels_B11)
    if not topology.label_takes_frame:
        return valid_BTS
    left_BTS, need_B1S = frames_B11 - t_T1, labels_B11 - u_S
    if not topology.collapses or labels_BL is None:
        return valid_BTS & (u_S <= t_T1) & (need_B1S <= left_BTS)
    # An equal pair needs a blank between its labels. That of the pair (u, u + 1) may
    # come after this node, if label u was last here, or before it.
    pair_BS = topology.equal_neighbours(label_lens_B, labels_BL).long()
    before_B1S = (pair_BS.cumsum(1) - pair_BS).unsqueeze(1)
    after_B1S = pair_BS.sum(1)[:, None, None] - before_B1S
    in_label = (u_S + before_B1S <= t_T1) & (need_B1S + after_B1S <= left_BTS)
    blank_first = u_S + before_B1S + (u_S > 0) <= t_T1
    after_blank = blank_first & (need_B1S + after_B1S - pair_BS[:, None] <= left_BTS)
    return valid_BTS & (in_label | after_blank)


def forward(
    chain: Chain, combine: Callable[..., torch.Tensor] = torch.logaddexp
) -> torch.Tensor:
    """alpha [B, N + 1, Z] in float64; with ``torch.maximum`` that of the best path."""
    arcs = {o: x.transpose(0, 1) for o, x in _merge(chain, combine).items()}
    batch, _, states = chain.arcs[0].score_BNZ.shape
    start_BZ = arcs[0].new_full((batch, states), IMPOSSIBLE)
    start_BZ[:, 0] = 0.0
    return _recursion(arcs, start_BZ, combine).transpose(0, 1)


def forward_backward(
    chain: Chain, recursion: Optional[Recursion] = None
) -> Tuple[torch.Tensor, torch.Tensor]:
    """alpha and beta, each [B, N + 1, Z] in float64; -inf where nothing leads.

    Both run in one loop over the steps, with twice the batch: a chain read from its
    end is a chain. ``recursion`` is another implementation of that loop, from arcs
    [N, R, Z] by offset and a start [R, Z] to all scores [N + 1, R, Z].
    """
    batch, _, states = chain.arcs[0].score_BNZ.shape
    both: Dict[int, torch.Tensor] = {}
    for offset, score_BNZ in _merge(chain, torch.logaddexp).items():
        mirrored = _mirror(score_BNZ, chain.steps_B - 1, chain.states_B - 1 - offset)
        both[offset] = torch.cat([score_BNZ, mirrored]).transpose(0, 1).contiguous()
    start = both[0].new_full((2 * batch, states), IMPOSSIBLE)
    start[:, 0] = 0.0
    if chain.split and states > 1:
        # an alignment may end in a blank or in the last label
        start[batch:, 1].masked_fill_(chain.states_B > 1, 0.0)
    recursion = recursion or functools.partial(_recursion, combine=torch.logaddexp)
    scores = recursion(both, start).transpose(0, 1)
    beta = _mirror(scores[batch:], chain.steps_B, chain.states_B - 1)
    return scores[:batch], beta


def _merge(
    chain: Chain, combine: Callable[..., torch.Tensor]
) -> Dict[int, torch.Tensor]:
    """Scores [B, N, Z] by offset: arcs between the same two states become one."""
    merged: Dict[int, torch.Tensor] = {}
    for offset, score_BNZ, _ in chain.arcs:
        if offset in merged:
            score_BNZ = combine(merged[offset], score_BNZ)
        merged[offset] = score_BNZ
    return merged


def _recursion(
    arcs: Dict[int, torch.Tensor],
    start_RZ: torch.Tensor,
    combine: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """All forward scores [N + 1, R, Z] of arcs [N, R, Z]."""
    steps, rows, states = arcs[0].shape
    alpha = start_RZ.new_empty(steps + 1, rows, states)
    alpha[0] = start_RZ
    # views are made once: three small operations a step are all that is left
    every, stay = alpha.unbind(0), arcs[0].unbind(0)
    onward = []
    for offset, arc in arcs.items():
        if 0 < offset < states:
            sources = alpha[:-1, :, : states - offset].unbind(0)
            targets = alpha[1:, :, offset:].unbind(0)
            moves = arc[..., : states - offset].unbind(0)
            onward.append((sources, moves, targets))
    for step in range(steps):
        torch.add(every[step], stay[step], out=every[step + 1])
        for sources, moves, targets in onward:
            arriving = sources[step] + moves[step]
            combine(targets[step], arriving, out=targets[step])
    return alpha


def _mirror(
    x_BNZ: torch.Tensor, last_step_B: torch.Tensor, last_state_B: torch.Tensor
) -> torch.Tensor:
    """y[b, n, z] = x[b, last_step - n, last_state - z]; -inf where that is outside."""
    batch, steps, states = x_BNZ.shape
    device = x_BNZ.device
    n_BN = last_step_B.unsqueeze(1) - torch.arange(steps, device=device)
    z_BZ = last_state_B.unsqueeze(1) - torch.arange(states, device=device)
    outside_BNZ = (n_BN < 0).unsqueeze(2) | (z_BZ < 0).unsqueeze(1)
    index = n_BN.clamp(min=0).unsqueeze(2) * states + z_BZ.clamp(min=0).unsqueeze(1)
    values = x_BNZ.flatten(1).gather(1, index.flatten(1))
    return values.view(batch, steps, states).masked_fill_(outside_BNZ, IMPOSSIBLE)
