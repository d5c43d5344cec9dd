"""The register of own results: every scored set with all that a figure depends on.

Stage 13 appends to ``results/runs.csv`` (LDC data, to be committed) or
``results/local.csv`` (other data, ignored by git). A row is never changed: scoring the
same output again adds nothing, another result of the same experiment a new row.
"""

import csv
import fcntl
import io
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from espnet_ext.analysis.tables import CSV_FIELDS
from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_write, read_lines

RUNS = "runs.csv"
LOCAL = "local.csv"
FIELDS = ("date", "experiment", "corpus", *CSV_FIELDS, "note")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Several experiments may be scored at the same time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_register(path: Path) -> List[Dict[str, str]]:
    """All rows of a register, oldest first; none where there is no file.

    Raises:
        FormatError: Other columns, or rows of another length.
    """
    if not path.is_file():
        return []
    reader = csv.DictReader(io.StringIO("\n".join(read_lines(path))))
    if tuple(reader.fieldnames or ()) != FIELDS:
        raise FormatError(
            f"columns {', '.join(reader.fieldnames or ())}",
            where=path,
            expected=", ".join(FIELDS),
            next_step="move the file away; a new one will be written",
        )
    rows = list(reader)
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise FormatError(
                "not as many fields as columns", where=f"{path} line {number}"
            )
    return rows


def append_results(
    path: Path, records: Sequence[Dict[str, str]], **facts: str
) -> List[Dict[str, str]]:
    """Append the records that the register does not have yet.

    Args:
        path: The register; made if there is none.
        records: As ``tables.csv_record`` makes them.
        facts: ``experiment``, ``corpus`` and ``note`` of all of them.

    Returns:
        The rows that were appended.
    """
    now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
    with _locked(path.parent):
        rows = read_register(path)
        known = {tuple(row[field] for field in FIELDS[1:]) for row in rows}
        fresh = [
            {field: str({**facts, **record}.get(field, "")) for field in FIELDS[1:]}
            for record in records
        ]
        fresh = [
            {"date": now, **row} for row in fresh if tuple(row.values()) not in known
        ]
        if fresh:
            with atomic_write(path) as file:
                writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                writer.writeheader()
                writer.writerows([*rows, *fresh])
    return fresh
