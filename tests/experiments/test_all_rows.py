"""Every experiment of the original resolves to its recorded values, all columns."""

import csv
import re

import pytest

from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.resolve import resolve
from tests.experiments import table
from tests.experiments.columns import CHECKS
from tests.shared import REPOSITORY, shared_file

RESULT_COLUMNS = re.compile(
    r"(cfg|seed)_(hub5e_00|hub5e_01|rt03s|best_epoch)|status_note"
)


def rows():
    with open(shared_file("reference/experiments.tsv"), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def resolved():
    conf = find_conf(REPOSITORY / "conf")
    return [(row, resolve(row["name"], conf=conf)) for row in rows()]


def test_every_column_of_the_table_is_compared():
    columns = [c for c in rows()[0] if c != "name" and not RESULT_COLUMNS.fullmatch(c)]
    assert sorted(CHECKS) == sorted(columns)
    assert len(rows()) == 152


@pytest.mark.parametrize("column", CHECKS)
def test_all_rows_resolve_to_their_recorded_value(column, resolved):
    """An empty cell records nothing; every other cell of the column is compared."""
    wrong, compared = [], 0
    for row, exp in resolved:
        if row[column] == table.NOT_RECORDED:
            continue
        if column in ("batch_size", "batch_size_pre", "accum") and not row["layers"]:
            continue  # recognition only: no batches are trained on
        compared += 1
        try:
            CHECKS[column](row[column], row, exp)
        except (AssertionError, KeyError, TypeError, AttributeError) as error:
            wrong.append(f"{row['name']}: {row[column]!r}: {error!r:.200}")
    assert not wrong, "\n".join(wrong[:20])
    assert compared > 0
