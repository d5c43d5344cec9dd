"""An alignment as a walk through the lattice, and as stretches of time.

Symbols alone do not always say which arc was taken: with the free label loops a label
that equals its predecessor may be new or repeated. ``walk`` takes the best of all walks
that give the symbols, by scores if there are some, else the one with the earliest
labels.
"""

from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.asr.loss.topology import BLANK, LABEL, REPEAT, Node, Topology
from espnet_ext.errors import FormatError

Score = Callable[[str, int, int], float]


class Step(NamedTuple):
    """One symbol of an alignment: its kind, and the node it leaves.

    Attributes:
        kind: ``blank``, ``label`` or ``repeat``.
        frame: Frames done before.
        position: Labels emitted before.
    """

    kind: str
    frame: int
    position: int


class Run(NamedTuple):
    """A label over a stretch of time, in frames; fractions where labels take none."""

    label: int
    start: float
    end: float


def walk(
    symbols: Sequence[int],
    labels: Sequence[int],
    frames: int,
    topology: Topology,
    blank: int,
    score: Optional[Score] = None,
) -> Tuple[List[Step], float]:
    """The steps of an alignment, and the sum of their scores.

    Args:
        symbols: A label id or blank for each step.
        labels: The label sequence.
        frames: Number of encoder frames.
        topology: Which alignments there are.
        blank: Id of blank in ``symbols``.
        score: Log score of (kind, frame, position); 0 for everything if not given.

    Raises:
        FormatError: The symbols are no alignment of these labels.
    """
    ways: List[Dict[Node, Tuple[float, Optional[Node], str]]] = [
        {Node(0, 0): (0.0, None, "")}
    ]
    for symbol in symbols:
        reached: Dict[Node, Tuple[float, Optional[Node], str]] = {}
        for node, (total, _, _) in ways[-1].items():
            for kind, following in topology.arcs(node, frames, labels):
                if symbol != _emitted(kind, node.position, labels, blank):
                    continue
                here = score(kind, node.frame, node.position) if score else 0.0
                old = reached.get(following)
                if old is None or total + here > old[0]:
                    reached[following] = (total + here, node, kind)
        ways.append(reached)
    ends = [n for n in ways[-1] if n.frame == frames and n.position == len(labels)]
    if not ends:
        raise FormatError(
            f"{len(symbols)} symbols are no {topology.name} alignment of {len(labels)} "
            f"labels with {frames} frames"
        )
    node = max(ends, key=lambda end: ways[-1][end][0])
    total, steps = ways[-1][node][0], []
    for reached in reversed(ways[1:]):
        _, source, kind = reached[node]
        steps.append(Step(kind, source.frame, source.position))
        node = source
    return steps[::-1], total


def _emitted(kind: str, position: int, labels: Sequence[int], blank: int) -> int:
    if kind == BLANK:
        return blank
    return labels[position if kind == LABEL else position - 1]


def labels_of(symbols: Sequence[int], topology: Topology, blank: int) -> List[int]:
    """The labels that symbols stand for.

    Raises:
        FormatError: A free label loop, where symbols alone do not tell.
    """
    if topology.repeats and not topology.collapses:
        raise FormatError(
            f"the symbols of a {topology.name} alignment do not tell its labels",
            next_step="give the label sequences too",
        )
    previous = [None, *symbols][: len(symbols)]
    return [
        int(symbol)
        for symbol, before in zip(symbols, previous)
        if symbol != blank and not (topology.collapses and symbol == before)
    ]


def runs(steps: Sequence[Step], labels: Sequence[int], topology: Topology) -> List[Run]:
    """Stretches of one label each, in order; the rest of the time is blank.

    A label that is repeated after a blank has several. Where labels take no frame, all
    labels before the blank of a frame share that frame evenly.
    """
    if not topology.label_takes_frame:
        return list(_shared_frames(steps, labels))
    found: List[Run] = []
    for step in steps:
        if step.kind == BLANK:
            continue
        goes_on = step.kind == REPEAT and found and found[-1].end == step.frame
        if goes_on:
            found[-1] = found[-1]._replace(end=step.frame + 1)
        else:
            place = step.position if step.kind == LABEL else step.position - 1
            found.append(Run(int(labels[place]), step.frame, step.frame + 1))
    return found


def _shared_frames(steps: Sequence[Step], labels: Sequence[int]) -> Iterator[Run]:
    by_frame: Dict[int, List[int]] = {}
    for step in steps:
        if step.kind == LABEL:
            by_frame.setdefault(step.frame, []).append(int(labels[step.position]))
    for frame, here in by_frame.items():
        for place, label in enumerate(here):
            share = (place / len(here), (place + 1) / len(here))
            yield Run(label, frame + share[0], frame + share[1])


def label_times(
    steps: Sequence[Step], labels: Sequence[int], topology: Topology
) -> np.ndarray:
    """[L, 2] first frame of each label, and the frame after its last one."""
    times = np.zeros((len(labels), 2))
    if not topology.label_takes_frame:
        for place, run in enumerate(_shared_frames(steps, labels)):
            times[place] = (run.start, run.end)
        return times
    for step in steps:
        if step.kind == LABEL:
            times[step.position] = (step.frame, step.frame + 1)
        elif step.kind == REPEAT:
            times[step.position - 1, 1] = step.frame + 1
    return times


def symbols_of(
    stretches: Sequence[Run], frames: int, topology: Topology, blank: int
) -> np.ndarray:
    """The inverse of ``runs``: int32 symbols [N]. Times are rounded to whole frames.

    Raises:
        FormatError: Two stretches share a frame, or one lies outside.
    """
    if not topology.label_takes_frame:
        by_frame: List[List[int]] = [[] for _ in range(frames)]
        for run in stretches:
            frame = int((run.start + run.end) / 2)
            if not 0 <= frame < frames:
                raise _outside(run, frames)
            by_frame[frame].append(run.label)
        return np.array([s for row in by_frame for s in (*row, blank)], dtype=np.int32)
    symbols = np.full(frames, blank, dtype=np.int32)
    done = 0
    for run in stretches:
        start, end = round(run.start), round(run.end)
        if not done <= start < end <= frames:
            raise _outside(run, frames)
        symbols[start:end] = run.label
        done = end
    return symbols


def _outside(run: Run, frames: int) -> FormatError:
    return FormatError(
        f"label {run.label} from frame {run.start:.2f} to {run.end:.2f}",
        expected=f"stretches of whole frames in order, within {frames} frames",
        next_step="compare the frame shift of the file with that of the alignment",
    )
