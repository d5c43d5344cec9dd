"""Packed nodes of a batch: those that lie on any complete alignment."""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, N packed nodes
from typing import Tuple

import torch

from espnet_ext.asr.loss.dense import arc_index
from espnet_ext.asr.loss.lattice import band_mask
from espnet_ext.asr.loss.topology import Topology
from espnet_ext.asr.loss.triton.joint import Nodes


def pack_nodes(
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
    lattice: Tuple[int, int],
) -> Nodes:
    """The nodes of the band, in the order of their number.

    Args:
        labels_BL: Label ids in V, padded with anything.
        frame_lens_B: Valid frames.
        label_lens_B: Valid labels.
        topology: Decides on the band and on whether labels repeat.
        blank: Index of blank in V; the unit of label k is k - 1 above it.
        lattice: T and S.
    """
    lengths = frame_lens_B, label_lens_B
    band_BTS = band_mask(*lengths, topology, labels_BL, lattice)
    b_N, t_N, s_N = band_BTS.nonzero(as_tuple=True)
    index = arc_index(labels_BL, label_lens_B)
    count_N = label_lens_B[b_N]

    def unit(id_BS: torch.Tensor, there_N: torch.Tensor) -> torch.Tensor:
        id_N = id_BS[b_N, s_N]
        unit_N = id_N - (id_N > blank).to(id_N.dtype)
        return unit_N.masked_fill(~there_N, -1).int()

    return Nodes(
        (b_N * lattice[0] + t_N).int(),
        (b_N * lattice[1] + s_N).int(),
        unit(index.label_BS, s_N < count_N),
        unit(index.repeat_BS, s_N > 0) if topology.repeats else None,
        lattice[1],
    )
