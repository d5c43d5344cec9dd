"""Label softmax of packed nodes: normaliser and logits of the labels that matter.

A program owns a tile of nodes and walks over the labels in blocks, with the running
maximum and sum of Milakov and Gimelshein 2018, "Online normalizer calculation for
softmax", algorithm 3. Only numbers per node leave it.
"""

# Dimensions: N packed nodes, K labels, J readout
from typing import NamedTuple, Optional

import torch
import triton
import triton.language as tl

from espnet_ext.asr.loss.fused_scores import Nodes
from espnet_ext.asr.loss.triton.blocks import TL_TYPES, dot_precision
from espnet_ext.asr.loss.triton.joint import Joint


class LabelScores(NamedTuple):
    """Of each node: log sum exp over all logits, and single logits [N]."""

    log_sum_N: torch.Tensor
    next_N: torch.Tensor
    current_N: Optional[torch.Tensor]
    blank_N: Optional[torch.Tensor]


@triton.jit
def logits_tile(
    readout_ptr,
    weight_ptr,
    bias_ptr,
    n,
    k,
    count,
    K,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    """Logits [N, K] of a tile; those of rows and labels that do not exist are bias."""
    at_n = readout_ptr + n.to(tl.int64)[:, None] * COLUMNS
    at_k = weight_ptr + k.to(tl.int64)[None, :] * COLUMNS
    here, exists = (n < count)[:, None], (k < K)[None, :]
    logits = tl.zeros((BLOCK_N, BLOCK_K), dtype=SUM)
    for start in range(0, COLUMNS, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        readout = tl.load(at_n + j[None, :], mask=here, other=0.0)
        weight = tl.load(at_k + j[:, None], mask=exists, other=0.0)
        logits = tl.dot(
            readout, weight, logits, input_precision=PRECISION, out_dtype=SUM
        )
    return logits + tl.load(bias_ptr + k, mask=k < K, other=0.0).to(SUM)[None, :]


@triton.jit
def _scores_kernel(
    readout_ptr,
    weight_ptr,
    bias_ptr,
    next_ptr,
    current_ptr,
    log_sum_ptr,
    next_logit_ptr,
    current_logit_ptr,
    blank_logit_ptr,
    count,
    blank_unit,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
    REPEATS: tl.constexpr,
    BLANK: tl.constexpr,
    PRECISION: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_J: tl.constexpr,
):
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    here = n < count
    next_label = tl.load(next_ptr + n, mask=here, other=-1)
    next_logit = tl.zeros((BLOCK_N,), dtype=SUM)
    current_label = next_label
    current_logit = next_logit
    blank_logit = next_logit
    if REPEATS:
        current_label = tl.load(current_ptr + n, mask=here, other=-1)
    top = tl.full((BLOCK_N,), float("-inf"), dtype=SUM)
    total = tl.zeros((BLOCK_N,), dtype=SUM)
    for first in range(0, K, BLOCK_K):
        k = first + tl.arange(0, BLOCK_K)
        logits = logits_tile(
            readout_ptr,
            weight_ptr,
            bias_ptr,
            n,
            k,
            count,
            K,
            COLUMNS,
            PRECISION,
            SUM,
            BLOCK_N,
            BLOCK_K,
            BLOCK_J,
        )
        chosen = k[None, :] == next_label[:, None]
        next_logit += tl.sum(tl.where(chosen, logits, 0.0), axis=1)
        if REPEATS:
            chosen = k[None, :] == current_label[:, None]
            current_logit += tl.sum(tl.where(chosen, logits, 0.0), axis=1)
        if BLANK:
            chosen = (k == blank_unit)[None, :]
            blank_logit += tl.sum(tl.where(chosen, logits, 0.0), axis=1)
        logits = tl.where((k < K)[None, :], logits, float("-inf"))
        higher = tl.maximum(top, tl.max(logits, axis=1))
        total = total * tl.exp(top - higher)
        total += tl.sum(tl.exp(logits - higher[:, None]), axis=1)
        top = higher
    tl.store(log_sum_ptr + n, top + tl.log(total), mask=here)
    tl.store(next_logit_ptr + n, next_logit, mask=here)
    if REPEATS:
        tl.store(current_logit_ptr + n, current_logit, mask=here)
    if BLANK:
        tl.store(blank_logit_ptr + n, blank_logit, mask=here)


def label_scores(joint: Joint, nodes: Nodes, readout_NJ: torch.Tensor) -> LabelScores:
    """log sum exp and chosen logits of N nodes from their readout.

    ``current_N`` is None where the nodes have no current label, and ``blank_N`` where
    blank is not a unit of the softmax.
    """
    count = len(nodes)

    def new(wanted: bool = True) -> Optional[torch.Tensor]:
        return readout_NJ.new_empty(count, dtype=joint.sum_dtype) if wanted else None

    repeats, blank = nodes.current_N is not None, joint.blank_unit is not None
    result = LabelScores(new(), new(), new(repeats), new(blank))
    if count:
        blocks = joint.blocks
        _scores_kernel[(triton.cdiv(count, blocks.nodes),)](
            readout_NJ,
            joint.weight_KJ,
            joint.bias_K,
            nodes.next_N,
            nodes.current_N if repeats else nodes.next_N,
            # an output that does not exist is not written to
            *(result.log_sum_N if x is None else x for x in result),
            count,
            joint.blank_unit or 0,
            K=joint.units,
            COLUMNS=readout_NJ.size(1),
            REPEATS=repeats,
            BLANK=blank,
            PRECISION=dot_precision(),
            SUM=TL_TYPES[joint.sum_dtype],
            BLOCK_N=blocks.nodes,
            BLOCK_K=blocks.labels,
            BLOCK_J=blocks.inner,
            num_warps=blocks.num_warps,
            num_stages=blocks.num_stages,
        )
    return result
