"""Result rows kept in their decode directory, so that RESULTS.md lists all of them."""

import json
from pathlib import Path
from typing import Dict, List, Sequence

from espnet_ext.analysis.confidence import Interval
from espnet_ext.analysis.scores import Counts
from espnet_ext.analysis.tables import Row
from espnet_ext.files import atomic_write

FILE = "result_rows.json"


def store_rows(rows: Sequence[Row], decode_dir: Path) -> None:
    """Keep the rows of a decode directory; those of an earlier scoring are replaced."""
    records = [
        {**row._asdict(), "counts": row.counts.values(), "interval": row.interval}
        for row in rows
    ]
    with atomic_write(decode_dir / FILE) as file:
        json.dump(records, file, indent=1, ensure_ascii=False)
        file.write("\n")


def stored_rows(exp_dir: Path) -> Dict[str, List[Row]]:
    """The rows of every decode directory of an experiment that was scored."""
    found: Dict[str, List[Row]] = {}
    for path in sorted(exp_dir.glob(f"*/{FILE}")):
        try:
            records = json.loads(path.read_text(encoding="utf-8"))
            found[path.parent.name] = [_row(record) for record in records]
        except (ValueError, TypeError, KeyError):
            continue  # of another version: scoring again writes it anew
    return found


def _row(record: Dict) -> Row:
    counts, interval = Counts(*record.pop("counts")), Interval(*record.pop("interval"))
    return Row(**record, counts=counts, interval=interval)
