"""Greedy search of a batch: the best symbol of each frame."""

# Dimensions: B batch, n sequences that have not ended, T frames, R projected frame
from typing import List, NamedTuple

import torch

from espnet_ext.asr.search.interface import SearchDecoder, map_state


class GreedyResult(NamedTuple):
    """Labels without blank and the log-probability of the path taken."""

    labels: List[int]
    score: float


@torch.no_grad()
def greedy_search(
    decoder: SearchDecoder,
    am_BTR: torch.Tensor,
    lengths_B: torch.Tensor,
    bos: str = "run",
) -> List[GreedyResult]:
    """One result per sequence, which does not depend on the rest of the batch.

    Args:
        decoder: Prediction network with its joint.
        am_BTR: Projected encoder frames (``joint_network.project_frames``).
        lengths_B: Valid frames per sequence.
        bos: See TimeSyncSearch.
    """
    order = torch.argsort(lengths_B.cpu(), descending=True, stable=True)
    lengths = lengths_B.cpu()[order].tolist()
    am_BTR = am_BTR.index_select(0, order.to(am_BTR.device))
    rows_N = torch.arange(len(lengths), device=am_BTR.device)
    state = decoder.search_start(len(lengths), bos)
    scores = torch.zeros(len(lengths), dtype=torch.float64, device=am_BTR.device)
    steps, running = [], len(lengths)
    for t in range(max(lengths, default=0)):
        while lengths[running - 1] <= t:
            running -= 1
        if running < rows_N.size(0):
            rows_N = rows_N[:running]
            state = map_state(state, lambda x: x[:running])
        log_probs_nV, state = decoder.search_scores(am_BTR[:running, t], state)
        best_n, symbols_n = log_probs_nV.max(dim=1)
        scores[:running] += best_n
        steps.append(symbols_n)
        state = decoder.search_advance(state, rows_N, symbols_n)
    labels: List[List[int]] = [[] for _ in lengths]
    for symbols in steps:
        for row, symbol in enumerate(symbols.tolist()):
            if symbol != decoder.blank_id:
                labels[row].append(symbol)
    found = [GreedyResult(*pair) for pair in zip(labels, scores.tolist())]
    return [found[i] for i in torch.argsort(order).tolist()]
