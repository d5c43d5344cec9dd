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

from espnet_ext.asr.loss.triton.blocks import TL_TYPES, dot_precision, sum_dtype
from espnet_ext.asr.loss.triton.joint import Joint, Nodes


class LabelScores(NamedTuple):
    """Of each node: log sum exp over the label logits, and single logits [N]."""

    normaliser_N: torch.Tensor
    next_N: torch.Tensor
    current_N: Optional[torch.Tensor]


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
    normaliser_out_ptr,
    next_out_ptr,
    current_out_ptr,
    count,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
    REPEATS: tl.constexpr,
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
        logits = tl.where((k < K)[None, :], logits, float("-inf"))
        higher = tl.maximum(top, tl.max(logits, axis=1))
        total = total * tl.exp(top - higher)
        total += tl.sum(tl.exp(logits - higher[:, None]), axis=1)
        top = higher
    tl.store(normaliser_out_ptr + n, top + tl.log(total), mask=here)
    tl.store(next_out_ptr + n, next_logit, mask=here)
    if REPEATS:
        tl.store(current_out_ptr + n, current_logit, mask=here)


def label_scores(joint: Joint, nodes: Nodes, readout_NJ: torch.Tensor) -> LabelScores:
    """Normaliser and chosen logits of N nodes from their (dropped) readout.

    The logit of a label that a node does not have (-1) is 0.
    """
    count = len(nodes)
    dtype = sum_dtype(joint.am_AR.dtype)
    repeats = nodes.current_N is not None
    normaliser, chosen = (readout_NJ.new_empty(count, dtype=dtype) for _ in range(2))
    current = torch.empty_like(chosen) if repeats else None
    if count:
        blocks = joint.blocks
        _scores_kernel[(triton.cdiv(count, blocks.nodes),)](
            readout_NJ,
            joint.weight_KJ,
            joint.bias_K,
            nodes.next_N,
            nodes.current_N if repeats else nodes.next_N,
            normaliser,
            chosen,
            current if repeats else chosen,
            count,
            K=joint.labels,
            COLUMNS=readout_NJ.size(1),
            REPEATS=repeats,
            PRECISION=dot_precision(),
            SUM=TL_TYPES[dtype],
            BLOCK_N=blocks.nodes,
            BLOCK_K=blocks.labels,
            BLOCK_J=blocks.inner,
            num_warps=blocks.num_warps,
            num_stages=blocks.num_stages,
        )
    return LabelScores(normaliser, chosen, current)
