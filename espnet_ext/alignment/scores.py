"""Scores of the arcs of any model's lattice, without ever holding [B, T, S, V].

Each function computes blocks of the distribution, keeps the two numbers a node that any
arc reads, and forgets the rest. So memory does not grow with the vocabulary.
"""

# Dimensions: B batch, T encoder frames, L labels, S = L + 1 positions, D encoder,
#             R joint input, V vocabulary with blank, C classes of an output layer
from typing import Callable, Optional, Union

import torch

from espnet_ext.alignment.frame_scores import FrameScores
from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.dense import arc_index, arc_scores
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.layers.fast_products import FastProducts

BLOCK = 1 << 20  # entries of a block: 4 MB
FRAME_BLOCK = 1 << 17  # without a readout per node, smaller ones are fast too
# nodes: fewer make slow products, more do not stay in the cache
SMALLEST_TILE, LARGEST_TILE = 32, 2048


def tile_nodes(vocabulary: int) -> int:
    """Nodes of the fused loss computed at once, so that a tile is at most one block."""
    return min(max(SMALLEST_TILE, BLOCK // max(vocabulary, 1)), LARGEST_TILE)


@torch.no_grad()
def frame_arcs(
    frames_BTD: torch.Tensor,
    project: Callable[[torch.Tensor], torch.Tensor],
    classes: int,
    labels_BL: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
    blank: int = 0,
    log_prior_C: Optional[torch.Tensor] = None,
    block: int = FRAME_BLOCK,
) -> FrameScores:
    """Arcs of an output layer on the encoder, one softmax a frame.

    Args:
        frames_BTD: Encoder frames.
        project: Logits [B, t, C] of some frames.
        classes: C.
        labels_BL: Classes of the labels, padded with anything.
        label_lens_B: Valid labels.
        topology: ``ctc``, or another whose scores may ignore the position.
        blank: Class of blank.
        log_prior_C: Subtracted from the log-probabilities; scaled already.
        block: Logits computed at once.
    """
    batch, frames = frames_BTD.shape[:2]
    index = arc_index(labels_BL.to(frames_BTD.device), label_lens_B)
    index_B1L = index.label_BS[:, None, :-1]
    blank_BT = frames_BTD.new_empty((batch, frames), dtype=torch.float32)
    label_BTL = blank_BT.new_empty((batch, frames, index_B1L.size(2)))
    step = max(1, block // max(batch * classes, 1))
    for start in range(0, frames, step):
        part = slice(start, start + step)
        with FastProducts():
            logits_BtC = project(frames_BTD[:, part])
        log_probs_BtC = logits_BtC.float().log_softmax(-1)
        if log_prior_C is not None:
            log_probs_BtC = log_probs_BtC - log_prior_C
        blank_BT[:, part] = log_probs_BtC[..., blank]
        index_BtL = index_B1L.expand(-1, log_probs_BtC.size(1), -1)
        label_BTL[:, part] = log_probs_BtC.gather(2, index_BtL)
    return FrameScores(blank_BT, label_BTL, get_topology(topology))


@torch.no_grad()
def joint_arcs(
    am_BTR: torch.Tensor,
    lm_BSR: torch.Tensor,
    joint: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    vocabulary: int,
    labels_BL: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology],
    blank: int = 0,
    block: int = BLOCK,
) -> ArcScores:
    """Arcs of any joint network, some frames of one sequence at a time.

    Args:
        am_BTR: Frames as the joint takes them.
        lm_BSR: Prediction network as the joint takes it.
        joint: Logits or log-probabilities [1, t, S, V] of inputs [1, t, 1, R] and
            [1, 1, S, R].
        vocabulary: V.
        labels_BL, label_lens_B, topology, blank, block: As ``frame_arcs``.
    """
    topology = get_topology(topology)
    index = arc_index(labels_BL.to(am_BTR.device), label_lens_B)
    batch, frames = am_BTR.shape[:2]
    size = (batch, frames, lm_BSR.size(1))
    count = 3 if topology.repeats else 2
    scores = ArcScores(*(am_BTR.new_zeros(size) for _ in range(count)))
    step = max(1, block // max(size[2] * vocabulary, 1))
    for b in range(batch):
        row = slice(b, b + 1)
        own = type(index)(*(x[row] for x in index))
        for start in range(0, frames, step):
            part = slice(start, start + step)
            logits = joint(am_BTR[row, part, None], lm_BSR[row, None])
            log_probs = logits.float().log_softmax(-1)
            for to, values in zip(scores, arc_scores(log_probs, own, topology, blank)):
                if to is not None:
                    to[row, part] = values.to(to.dtype)
    return scores
