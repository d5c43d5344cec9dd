"""Greedy search of a batch: the best symbol of each frame."""

# Dimensions: B batch, T frames, R readout, V vocabulary
from typing import List, NamedTuple

import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder


class GreedyResult(NamedTuple):
    """Labels without blank and the log-probability of the path taken."""

    labels: List[int]
    score: float


@torch.no_grad()
def greedy_search(
    decoder: LstmTransducerDecoder, am_BTR: torch.Tensor, lengths_B: torch.Tensor
) -> List[GreedyResult]:
    """One result per sequence, which does not depend on the rest of the batch.

    Args:
        decoder: Prediction network with its joint.
        am_BTR: Projected encoder frames (``joint_network.project_frames``).
        lengths_B: Valid frames per sequence.
    """
    batch, frames = am_BTR.shape[:2]
    blanks_B1 = am_BTR.new_full((batch, 1), decoder.blank_id, dtype=torch.long)
    lm_B1R, state = decoder.run(blanks_B1)
    scores_B = am_BTR.new_zeros(batch, dtype=torch.float64)
    symbols = []
    lengths_B = lengths_B.to(am_BTR.device)
    for t in range(frames):
        log_probs_BV = decoder.joint_network(am_BTR[:, t], lm_B1R[:, 0])
        best_B, symbol_B = log_probs_BV.max(dim=1)
        inside_B = lengths_B > t
        symbol_B = torch.where(inside_B, symbol_B, decoder.blank_id)
        scores_B += torch.where(inside_B, best_B, 0.0)
        symbols.append(symbol_B)
        emitted_B = symbol_B != decoder.blank_id
        if bool(emitted_B.any()):
            new_lm, new_state = decoder.run(symbol_B.unsqueeze(1), state)
            keep = emitted_B.view(-1, 1, 1)
            lm_B1R = torch.where(keep, new_lm, lm_B1R)
            keep = emitted_B.view(1, -1, 1)
            state = tuple(torch.where(keep, n, o) for n, o in zip(new_state, state))
    rows = (
        torch.stack(symbols, dim=1).tolist() if symbols else [[] for _ in range(batch)]
    )
    return [
        GreedyResult([k for k in row if k != decoder.blank_id], score)
        for row, score in zip(rows, scores_B.tolist())
    ]
