"""Alignments of a data set in memory, and as one file that numpy reads.

``alignment.npz`` holds what nothing is lost in: symbols, labels, scores, and as JSON
how they were made. All other formats are written from it.
"""

# Dimensions: N symbols of an alignment, L labels
import dataclasses
import json
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.alignment.paths import Run, Step, label_times, runs, walk
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import PathLike, atomic_path

FILE = "alignment.npz"
WHOLE_UTTERANCE = -1.0


@dataclasses.dataclass(frozen=True)
class AlignmentInfo:
    """How alignments were made.

    Attributes:
        topology: Its name.
        blank: Id of blank among the symbols.
        tokens: Text of each id.
        frame_shift_s: Time from one encoder frame to the next.
        look_ahead_s: How far behind its frame the model hears, at most; -1 for the
            whole utterance. A label may come out that much later than it is said.
        method: ``exact``, ``sum_alpha`` or ``posterior``.
        output: ``transducer``, ``ctc`` or ``aux:N``.
        prior_scale: Factor of the log prior that was subtracted; 0 for none.
        model: File of the weights.
        units: How tokens make words, see ``words.py``.
        dtype: Type that the encoder was computed in, see ``run.py``.
    """

    topology: str
    tokens: Tuple[str, ...]
    frame_shift_s: float
    blank: int = 0
    look_ahead_s: float = WHOLE_UTTERANCE
    method: str = "exact"
    output: str = "transducer"
    prior_scale: float = 0.0
    model: str = ""
    units: str = "pieces"
    dtype: str = "float32"

    @property
    def rules(self) -> Topology:
        """The topology as an object."""
        return get_topology(self.topology)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @staticmethod
    def from_json(text: str, where: object = None) -> "AlignmentInfo":
        """The reverse of ``to_json``.

        Raises:
            FormatError: It is not that.
        """
        try:
            fields = json.loads(text)
            return AlignmentInfo(**{**fields, "tokens": tuple(fields["tokens"])})
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(
                f"no description of an alignment: {error}", where=where
            ) from None


class Aligned(NamedTuple):
    """The alignment of one utterance.

    Attributes:
        symbols: int32 [N], a label id or blank each.
        labels: int32 [L].
        frames: Encoder frames.
        score: Sum of the log scores of its symbols, nats.
        full_sum: Log of the sum over all alignments, nats.
    """

    symbols: np.ndarray
    labels: np.ndarray
    frames: int
    score: float = float("nan")
    full_sum: float = float("nan")

    def steps(self, info: AlignmentInfo) -> List[Step]:
        """Its walk through the lattice."""
        symbols, labels = self.symbols.tolist(), self.labels.tolist()
        return walk(symbols, labels, self.frames, info.rules, info.blank)[0]

    def runs(self, info: AlignmentInfo) -> List[Run]:
        """Stretches of labels, in frames."""
        return runs(self.steps(info), self.labels.tolist(), info.rules)

    def times(self, info: AlignmentInfo) -> np.ndarray:
        """[L, 2] start and end of each label, in frames."""
        return label_times(self.steps(info), self.labels.tolist(), info.rules)


@dataclasses.dataclass
class AlignmentSet:
    """Alignments by utterance id, and why others have none."""

    info: AlignmentInfo
    aligned: Dict[str, Aligned] = dataclasses.field(default_factory=dict)
    failed: Dict[str, str] = dataclasses.field(default_factory=dict)


def write_set(alignments: AlignmentSet, path: PathLike) -> None:
    """Write one file; it appears only when it is complete."""
    entries = alignments.aligned
    values = list(entries.values())
    arrays = {
        "info": np.array(alignments.info.to_json()),
        "ids": np.array(list(entries), dtype=np.str_),
        "failed_ids": np.array(list(alignments.failed), dtype=np.str_),
        "failed_reasons": np.array(list(alignments.failed.values()), dtype=np.str_),
        "symbol_counts": np.array([len(x.symbols) for x in values], dtype=np.int64),
        "label_counts": np.array([len(x.labels) for x in values], dtype=np.int64),
        "symbols": _joined([x.symbols for x in values]),
        "labels": _joined([x.labels for x in values]),
        "frames": np.array([x.frames for x in values], dtype=np.int64),
        "score": np.array([x.score for x in values], dtype=np.float64),
        "full_sum": np.array([x.full_sum for x in values], dtype=np.float64),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *arrays]).astype(np.int32)


def read_set(path: PathLike) -> AlignmentSet:
    """Read what ``write_set`` wrote; a folder stands for the file in it.

    Raises:
        MissingInputError: It does not exist.
        FormatError: It is something else.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        info = AlignmentInfo.from_json(str(arrays["info"]), path)
        parts = [
            np.split(arrays[name], np.cumsum(arrays[f"{name[:-1]}_counts"])[:-1])
            for name in ("symbols", "labels")
        ]
        numbers = (arrays[n].tolist() for n in ("frames", "score", "full_sum"))
        rows = zip(*parts, *numbers)
        aligned = {str(key): Aligned(*row) for key, row in zip(arrays["ids"], rows)}
        failed = zip(arrays["failed_ids"].tolist(), arrays["failed_reasons"].tolist())
    except FileNotFoundError:
        raise MissingInputError(
            "there is no alignment", where=path, next_step="./run.sh --stage align"
        ) from None
    except (ValueError, KeyError, OSError) as error:
        raise FormatError(f"not an alignment file: {error}", where=path) from None
    return AlignmentSet(info, aligned, dict(failed))


def merge_sets(sets: Iterable[AlignmentSet]) -> AlignmentSet:
    """All shards as one set, ids sorted.

    Raises:
        FormatError: They were made in different ways, or share an utterance.
    """
    merged: Optional[AlignmentSet] = None
    for part in sets:
        if merged is None:
            merged = AlignmentSet(part.info)
        if part.info != merged.info:
            raise FormatError("the shards were made with different settings")
        known = {*merged.aligned, *merged.failed}
        twice = known.intersection({*part.aligned, *part.failed})
        if twice:
            raise FormatError(f"{min(twice)} is in two shards")
        merged.aligned.update(part.aligned)
        merged.failed.update(part.failed)
    if merged is None:
        raise FormatError("there are no shards to merge")
    merged.aligned = dict(sorted(merged.aligned.items()))
    merged.failed = dict(sorted(merged.failed.items()))
    return merged
