"""Lattices: all arcs between the entries of the beams of a time-synchronous search.

Text form, one lattice an utterance, as Kaldi's ``lattice-copy ark:- ark,t:-`` writes a
(not compact) lattice and as its tools read it:

    UTTERANCE
    FROM TO INPUT OUTPUT GRAPH_COST,ACOUSTIC_COST
    FINAL_STATE
    (empty line)

Each arc is one frame. INPUT is the symbol's id + 1 (0 would be epsilon), OUTPUT the
label's id, 0 where the symbol is blank (id 0). The acoustic cost is the negative
log-probability, language models included; the graph cost is 0. State 0 is the start.

Arcs from which no entry of the last beam is reached are left out. With paths
of a label sequence summed, the log sum over its paths in the lattice is the score of
its entry. After recombination by text the paths that were merged into another one are
missing.
"""

# Dimensions: n sequences, K hypotheses, V vocabulary with blank
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import torch

from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_write, read_lines


class LatticeArcs(NamedTuple):
    """Arcs into the entries of one step, two at most, each [n, K, 2]."""

    origins: torch.Tensor
    symbols: torch.Tensor
    scores: torch.Tensor
    exists: torch.Tensor

    @classmethod
    def of_step(cls, origins, symbols, scores, alive, merged, log_probs_nKV):
        """From the chosen arcs and, of merged ones, (whether, source, label)."""
        arcs = [(origins, symbols, scores, alive)]
        if merged is not None:
            exists, source, label = merged
            place = source * log_probs_nKV.size(2) + label
            score = log_probs_nKV.flatten(1).gather(1, place)
            arcs.append((source, label, score, alive & exists))
        return cls(*(torch.stack(parts, dim=2).cpu() for parts in zip(*arcs)))


class Arc(NamedTuple):
    """One arc; its score is a log-probability."""

    start: int
    end: int
    symbol: int
    score: float


class Lattice(NamedTuple):
    """Arcs in the order of their frames, and the last states."""

    arcs: List[Arc]
    finals: List[int]

    @classmethod
    def of_batch(
        cls, steps: Sequence[LatticeArcs], lengths: Sequence[int], beam: int
    ) -> List["Lattice"]:
        """One lattice a sequence; the first sequences take part in a step."""
        return [
            cls._of_sequence(steps[:length], row, beam)
            for row, length in enumerate(lengths)
        ]

    @classmethod
    def _of_sequence(cls, steps, row: int, beam: int) -> "Lattice":
        total = len(steps)
        if total == 0:
            return cls([], [0])

        def state(t: int, place: int) -> int:
            return 0 if t < 0 else 1 + t * beam + place

        needed = set(range(beam))
        arcs: List[Arc] = []
        finals: List[int] = []
        for t in reversed(range(total)):
            origins, symbols, scores, exists = (x[row].tolist() for x in steps[t])
            sources = set()
            for place in sorted(needed):
                for o, k, score, there in zip(
                    origins[place], symbols[place], scores[place], exists[place]
                ):
                    if there:
                        sources.add(o)
                        arcs.append(Arc(state(t - 1, o), state(t, place), k, score))
            if t == total - 1:
                finals = [state(t, p) for p in sorted(needed) if exists[p][0]]
            needed = sources
        return cls(arcs[::-1], finals)


def write_lattices(path: Path, lattices: Dict[str, Lattice]) -> None:
    """Write lattices by utterance in the text form."""
    with atomic_write(path) as file:
        for name, lattice in lattices.items():
            file.write(f"{name}\n")
            for arc in sorted(lattice.arcs):
                labels = f"{arc.symbol + 1} {arc.symbol}"
                file.write(f"{arc.start} {arc.end} {labels} 0,{-arc.score:.9g}\n")
            file.writelines(f"{final}\n" for final in lattice.finals)
            file.write("\n")


def read_lattices(path: Path) -> Dict[str, Lattice]:
    """What ``write_lattices`` wrote.

    Raises:
        FormatError: A line is not of the form.
    """
    lattices: Dict[str, Lattice] = {}
    current: Optional[Lattice] = None
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        try:
            if not words:
                current = None
            elif current is None:
                current = lattices[line] = Lattice([], [])
            elif len(words) == 1:
                current.finals.append(int(words[0]))
            else:
                start, end, _, symbol, costs = words
                score = -sum(float(cost) for cost in costs.split(","))
                current.arcs.append(Arc(int(start), int(end), int(symbol), score))
        except ValueError:
            raise FormatError(
                f"found {line!r}",
                where=f"{path} line {number}",
                expected="FROM TO INPUT OUTPUT GRAPH_COST,ACOUSTIC_COST",
            ) from None
    return lattices
