"""Errors of word boundaries against known word times.

The reference is a CTM of whole recordings (``FILE CHANNEL START DURATION WORD``). The
embedded corpus has one, as its synthesiser says when words begin. Words are matched by
text within an utterance; only matched ones are measured, and the others are counted.
"""

import collections
import dataclasses
import json
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.alignment.compare import matches
from espnet_ext.alignment.formats.ctm import words_of_utterance
from espnet_ext.alignment.store import AlignmentSet, read_set
from espnet_ext.alignment.words import Word
from espnet_ext.analysis.ctm import places_of
from espnet_ext.analysis.kaldi_text import Place, read_sides
from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike, atomic_write, read_lines

Side = Tuple[str, str]
NEAR_S = (0.05, 0.1)


@dataclasses.dataclass(frozen=True)
class BoundaryError:
    """Errors of one alignment; signed ones are positive where it is late.

    Attributes:
        name: Of the alignment.
        words: Matched words, and ``share`` of the reference words that were matched.
        start_s, end_s: Mean absolute error of word starts and ends.
        boundary_s: Mean of both.
        start_bias_s, end_bias_s: Mean signed errors.
        near_50ms, near_100ms: Share of all boundaries within that.
    """

    name: str
    words: int
    share: float
    start_s: float
    end_s: float
    boundary_s: float
    start_bias_s: float
    end_bias_s: float
    near_50ms: float
    near_100ms: float


def read_reference(path: PathLike) -> Dict[Side, List[Word]]:
    """Words of each (file, channel) in order of time.

    Raises:
        FormatError: A line is no CTM line.
    """
    words: Dict[Side, List[Word]] = collections.defaultdict(list)
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        try:
            file, channel, start, duration, word = fields[:5]
            begin = float(start)
            words[file, channel].append(Word(word, begin, begin + float(duration)))
        except ValueError:
            raise FormatError(
                f"found {line!r}",
                where=f"{path} line {number}",
                expected="FILE CHANNEL START DURATION WORD",
            ) from None
    return {side: sorted(row, key=lambda w: w.start_s) for side, row in words.items()}


def sides_of(data_dir: Path, places: Dict[str, Place]) -> Dict[str, Side]:
    """(file, channel) of each recording."""
    path = data_dir / "reco2file_and_channel"
    sides = dict(read_sides(path)) if path.exists() else {}
    for place in places.values():
        file, dash, channel = place.recording.rpartition("-")
        named = (file, channel) if dash else (place.recording, "A")
        sides.setdefault(place.recording, named)
    return sides


def measure(
    alignments: AlignmentSet,
    reference: Dict[Side, List[Word]],
    places: Dict[str, Place],
    sides: Dict[str, Side],
    name: str,
) -> BoundaryError:
    """Errors of one alignment.

    Raises:
        FormatError: No word could be matched.
    """
    errors: List[Tuple[float, float]] = []
    expected = 0
    for key, entry in alignments.aligned.items():
        place = places.get(key)
        if place is None:
            raise FormatError(
                f"{key} is not in the data directory",
                next_step="give the directory that was aligned, at its own speed",
            )
        own = [
            Word(w.text, w.start_s + place.start, w.end_s + place.start)
            for w in words_of_utterance(entry, alignments.info)
        ]
        said = words_between(reference.get(sides[place.recording], ()), place)
        expected += len(said)
        for i, j in matches(said, own):
            errors.append(
                (own[j].start_s - said[i].start_s, own[j].end_s - said[i].end_s)
            )
    if not errors:
        raise FormatError(
            f"{name}: no word of the alignment is in the reference",
            expected="a reference of the same recordings",
        )
    table = np.array(errors)
    size = np.abs(table)
    means, biases = size.mean(0), table.mean(0)
    near = [float((size <= limit + 1e-9).mean()) for limit in NEAR_S]
    return BoundaryError(
        name,
        len(errors),
        len(errors) / expected,
        float(means[0]),
        float(means[1]),
        float(means.mean()),
        float(biases[0]),
        float(biases[1]),
        *near,
    )


def words_between(words: Sequence[Word], place: Place) -> List[Word]:
    """The words whose middle lies in a segment."""

    def middle(word: Word) -> float:
        return (word.start_s + word.end_s) / 2

    end: Optional[float] = place.end
    return [
        w
        for w in words
        if place.start <= middle(w) and (end is None or middle(w) < end)
    ]


def reference_words(
    reference: PathLike, data_dir: Path, keys: Sequence[str]
) -> Dict[str, List[Tuple[float, float, str]]]:
    """(start, end, text) of the words of utterances, from the start of each."""
    places = places_of(data_dir)
    words, sides = read_reference(reference), sides_of(data_dir, places)
    found = {}
    for key in keys:
        place = places[key]
        said = words_between(words.get(sides[place.recording], ()), place)
        found[key] = [
            (w.start_s - place.start, w.end_s - place.start, w.text) for w in said
        ]
    return found


def measure_all(
    reference: PathLike, paths: Sequence[PathLike], data_dir: PathLike
) -> List[BoundaryError]:
    """Errors of several alignments of one data directory."""
    places = places_of(Path(data_dir))
    words, sides = read_reference(reference), sides_of(Path(data_dir), places)
    return [
        measure(read_set(path), words, places, sides, _name(path)) for path in paths
    ]


def _name(path: PathLike) -> str:
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    return "/".join(folder.parts[-2:])


def boundary_table(rows: Sequence[BoundaryError]) -> str:
    """A Markdown table, times in milliseconds."""
    lines = [
        "| alignment | words | matched | start | end | mean | start bias | end bias "
        "| within 50 ms | 100 ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = (row.start_s, row.end_s, row.boundary_s)
        signed = (row.start_bias_s, row.end_bias_s)
        cells = [row.name, str(row.words), f"{100 * row.share:.1f} %"]
        cells += [f"{1000 * t:.0f} ms" for t in times]
        cells += [f"{1000 * t:+.0f} ms" for t in signed]
        cells += [f"{100 * x:.1f} %" for x in (row.near_50ms, row.near_100ms)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_json(rows: Sequence[BoundaryError], path: PathLike) -> None:
    """Write all figures, in seconds."""
    with atomic_write(path) as file:
        json.dump([dataclasses.asdict(row) for row in rows], file, indent=1)
        file.write("\n")
