"""What searches give out, and the paths of a batch of beams."""

# Dimensions: B batch, K hypotheses, T frames or steps
from typing import List, NamedTuple, Optional, Sequence

import torch

NO_STEP = -1  # in the place of a symbol after the end of a sequence


class BeamEntry(NamedTuple):
    """One result: log score, labels, and the symbol of each step (with blanks).

    Where paths were merged, ``symbols`` is the best one that was followed.
    """

    score: float
    labels: List[int]
    symbols: List[int]


class Steps:
    """Symbols and origins of all steps of a search, kept on its device.

    Args:
        batch, beam: B and K.
        lengths: Steps of each sequence, or None if they all take every step. Rows of
            the tensors added later may be fewer than B: those of the first sequences.
    """

    def __init__(self, batch: int, beam: int, lengths: Optional[Sequence[int]] = None):
        self.batch, self.beam = batch, beam
        self.lengths = lengths
        self.origins: List[torch.Tensor] = []
        self.symbols: List[torch.Tensor] = []

    def add(self, origins_nK: torch.Tensor, symbols_nK: torch.Tensor) -> None:
        """One step: the entry each entry comes from, and its symbol."""
        self.origins.append(origins_nK)
        self.symbols.append(symbols_nK)

    def paths(self, places_BK: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Symbols [B, K, T] that lead to each entry, NO_STEP after the end.

        Args:
            places_BK: Entries in the last beam (default: all, in their order).
        """
        total = len(self.symbols)
        if places_BK is None:
            places_BK = torch.arange(self.beam).expand(self.batch, self.beam)
        places_BK = places_BK.clone()
        paths_BKT = torch.full((self.batch, self.beam, total), NO_STEP)
        lengths = [total] * self.batch if self.lengths is None else self.lengths
        origins = [x.cpu() for x in self.origins]
        symbols = [x.cpu() for x in self.symbols]
        for t in reversed(range(total)):
            n = origins[t].size(0)
            while n and lengths[n - 1] <= t:  # sequences of a step that end before it
                n -= 1
            places = places_BK[:n]
            paths_BKT[:n, :, t] = symbols[t][:n].gather(1, places)
            places_BK[:n] = origins[t][:n].gather(1, places)
        return paths_BKT


def entries_of(
    paths_BKT: torch.Tensor, scores_BK: torch.Tensor, blank: int
) -> List[List[BeamEntry]]:
    """N-best lists, in the order of the beams; dead entries are left out."""
    results = []
    for paths, scores in zip(paths_BKT.tolist(), scores_BK.tolist()):
        entries = []
        for path, score in zip(paths, scores):
            if score == float("-inf"):
                continue
            symbols = [symbol for symbol in path if symbol != NO_STEP]
            labels = [symbol for symbol in symbols if symbol != blank]
            entries.append(BeamEntry(score, labels, symbols))
        results.append(entries)
    return results
