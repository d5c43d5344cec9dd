"""Time of the transducer's lattice at the size of the experiments, whole and pruned.

The joint network of ``start`` (readout of 1000, 1031 tokens) on made-up frames: eight
sequences of 10 s (167 frames of 60 ms) with 60 labels. Frames that a label is said in
carry the direction of its output and of emission, all others the opposite; noise is
added. How sure such a "model" is follows from the strength of the two, and is given as
the negative score of its best path. Nothing is trained.
"""

# Dimensions: B batch, T frames, L labels, R readout before maxout, J = R / 2 after it
import dataclasses
import time
from typing import Any, Dict, List, NamedTuple, Tuple

import torch

from espnet_ext.alignment.aligner import align_batch
from espnet_ext.alignment.joint_lattice import JointLattice
from espnet_ext.alignment.scores import tile_nodes
from espnet_ext.asr.loss import FusedJointLoss
from espnet_ext.asr.loss.topology import get_topology

NEVER = 1 << 60  # multiplications that a corridor would have to save


class Size(NamedTuple):
    """Of the batch and of the joint network."""

    batch: int = 8
    frames: int = 167
    labels: int = 60
    vocabulary: int = 1031
    readout: int = 500


# strength and noise, from sure to unsure
SURENESS = ((10.0, 0.3), (7.0, 0.4), (6.0, 0.5), (5.0, 0.5), (3.0, 0.5))


def make_lattice(strength: float, noise: float, size: Size = Size()) -> JointLattice:
    """The lattice of a made-up batch."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    batch, frames, count, vocabulary, readout = size
    weight_KJ = normal(vocabulary - 1, readout) / readout**0.5
    emission_J = normal(1, readout) / readout**0.5
    labels_BL = torch.randint(1, vocabulary, (batch, count), generator=generator)
    am_BTR = noise * normal(batch, frames, 2 * readout)
    lm_BSR = noise * normal(batch, count + 1, 2 * readout)
    am_BTR[..., 1::2] -= 3.0  # so that maxout takes the even ones
    am_BTR[..., 0::2] -= strength * emission_J[0]
    for b in range(batch):
        at_L = torch.randperm(frames, generator=generator)[:count].sort()[0]
        said_LJ = 1.6 * weight_KJ[labels_BL[b] - 1] + 2.0 * emission_J[0]
        am_BTR[b, at_L, 0::2] += strength * said_LJ
    biases = torch.zeros(vocabulary - 1), torch.zeros(1)
    fused = FusedJointLoss(am_BTR, lm_BSR, weight_KJ, biases[0], emission_J, biases[1])
    fused.tile_nodes = tile_nodes(vocabulary)
    lengths = (torch.full((batch,), n) for n in (frames, count))
    return JointLattice(fused, labels_BL, *lengths, get_topology("rna"))


def _aligned(lattice: JointLattice, repeats: int) -> Tuple[float, List]:
    batch = lattice.labels_BL, lattice.frame_lens_B, lattice.label_lens_B
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        made = align_batch(lattice, *batch, lattice.topology).aligned
        best = min(best, time.perf_counter() - start)
    return best, made


def measure_lattices(repeats: int, size: Size = Size()) -> List[Dict[str, Any]]:
    """One row for each degree of sureness.

    Raises:
        AssertionError: A pruned path is not the path of the whole lattice.
    """
    rows = []
    for strength, noise in SURENESS:
        lattice = make_lattice(strength, noise, size)
        whole, exact = _aligned(dataclasses.replace(lattice, least_work=NEVER), repeats)
        pruned, found = _aligned(lattice, repeats)
        assert all((x.symbols == y.symbols).all() for x, y in zip(exact, found))
        cost = -sum(x.score for x in exact) / len(exact)
        nodes = f"{size.frames} x {size.labels + 1}"
        rows.append(
            {
                "what": f"lattice of {nodes}, -score {cost:.1f}",
                "seconds_whole": whole,
                "seconds": pruned,
                "faster": whole / pruned,
            }
        )
    return rows
