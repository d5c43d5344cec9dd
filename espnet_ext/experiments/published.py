"""The register of results that others published: results/published.csv.

One figure a row, with its source and with how the checkpoint was selected. The
original's own figures are selected on hub5e_00, which is a test set.
"""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines

FILE = "published.csv"
SETS = ("hub5e_00", "hub5e_01", "rt03s")
FIELDS = (
    *("experiment", "set", "subset", "metric", "value", "unit"),
    *("epoch", "selection", "source", "note"),
)
OWN_RECORD = "experiment file"
README = "README"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One published number.

    Attributes:
        value: None where the source has only a remark.
        epoch: Sub-epoch of the checkpoint, if told.
    """

    experiment: str
    set: str
    subset: str
    metric: str
    value: Optional[float]
    unit: str
    epoch: Optional[int]
    selection: str
    source: str
    note: str


@dataclasses.dataclass(frozen=True)
class Published:
    """All figures; those of one experiment by its name."""

    figures: Tuple[Figure, ...]

    def names(self) -> List[str]:
        """Experiments of the original, in the register's order, without others'."""
        own = [f.experiment for f in self.figures if f.source in (OWN_RECORD, README)]
        return sorted(set(own))

    def word_error_rates(self, experiment: str) -> Dict[str, float]:
        """Set -> WER in percent; a record in the experiment file comes first."""
        found: Dict[str, float] = {}
        wanted = [
            figure
            for figure in self.figures
            if (figure.experiment, figure.metric) == (experiment, "WER")
            and figure.value is not None
            and not figure.subset
        ]
        for figure in sorted(wanted, key=lambda f: f.source != OWN_RECORD):
            found.setdefault(figure.set, figure.value)
        return found

    def notes(self, experiment: str) -> List[str]:
        """Remarks on an experiment."""
        return [
            figure.note
            for figure in self.figures
            if figure.experiment == experiment and figure.note
        ]


def _figure(row: Dict[str, str], where: str) -> Figure:
    try:
        value = float(row["value"]) if row["value"] else None
        epoch = int(row["epoch"]) if row["epoch"] else None
    except (TypeError, ValueError) as error:
        raise FormatError(str(error), where=where, expected="a number") from None
    if not row["experiment"] or not row["source"]:
        raise FormatError("no experiment or no source", where=where)
    return Figure(**{**row, "value": value, "epoch": epoch})


def load_published(folder: Path, name: str = FILE) -> Published:
    """The register in a folder ``results``.

    Raises:
        MissingInputError: There is no such file.
        FormatError: Other columns, or a value that is no number; with its line.
    """
    path = folder / name
    reader = csv.DictReader(io.StringIO("\n".join(read_lines(path))))
    if tuple(reader.fieldnames or ()) != FIELDS:
        raise FormatError(
            f"columns {reader.fieldnames}", where=path, expected=", ".join(FIELDS)
        )
    figures = []
    for row in reader:
        where = f"{path} line {reader.line_num}"
        if None in row or None in row.values():
            raise FormatError("not as many fields as columns", where=where)
        figures.append(_figure(row, where))
    return Published(tuple(figures))
