import csv
import math

import pytest

from espnet_ext.analysis.confidence import Interval
from espnet_ext.analysis.scores import Counts
from espnet_ext.analysis.tables import (
    CSV_FIELDS,
    Row,
    add_csv_rows,
    csv_record,
    markdown_row,
    summary_table,
    write_results_markdown,
)
from espnet_ext.errors import FormatError

COUNTS = Counts(10, 200, 180, 12, 8, 5, 4)
INTERVAL = Interval(10.04, 15.06, "speaker")


def row(name="hub5e_00", subset="all", metric="hub5", counts=COUNTS):
    return Row(name, subset, metric, counts, INTERVAL, "sclite", "sclite 2.10")


def test_a_markdown_row_has_espnets_columns():
    assert markdown_row("d/t", COUNTS) == "|d/t|10|200|90.0|6.0|4.0|2.5|12.5|40.0|"


def test_a_set_without_reference_words_has_no_rate():
    assert "n/a" in markdown_row("d/t", Counts(1, 0, 0, 0, 0, 2, 1))


def test_results_md_has_the_environment_then_a_table_a_metric(tmp_path):
    rows = [row(), row(subset="swb"), row(metric="WER"), row(metric="CER")]
    write_results_markdown(
        {"decode": rows, "decode_beam": [row()]},
        tmp_path / "RESULTS.md",
        exp="asr_x",
        environment={"date": "today", "python version": "3.12"},
        note="synthetic speech",
    )
    text = (tmp_path / "RESULTS.md").read_text()
    order = ["synthetic speech", "## Environments", "- date: `today`", "## asr_x"]
    order += ["hub5", "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|", "### WER\n"]
    order += ["### CER", "confidence intervals"]
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)
    assert "|decode/hub5e_00.swb|10|200|" in text
    assert "|decode_beam/hub5e_00|10|200|" in text
    assert "10.0-15.1|speaker" in text


def test_scoring_again_replaces_its_own_rows_only(tmp_path):
    path = tmp_path / "results.csv"
    add_csv_rows([csv_record(row(), {"exp": "a", "seed": 1})], path)
    add_csv_rows([csv_record(row(), {"exp": "a", "seed": 2})], path)
    better = row(counts=Counts(10, 200, 190, 10, 0, 0, 4))
    add_csv_rows([csv_record(better, {"exp": "a", "seed": 2})], path)
    with open(path, newline="") as file:
        records = list(csv.DictReader(file))
    assert [(r["seed"], r["wer"]) for r in records] == [("1", "12.500"), ("2", "5.000")]
    assert tuple(records[0]) == tuple(CSV_FIELDS)


def test_text_with_commas_and_quotes_survives_the_csv(tmp_path):
    facts = {"exp": 'a, "b"', "selection_rule": "best valid/loss,\nof 3"}
    add_csv_rows([csv_record(row(), facts)], tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="") as file:
        (record,) = csv.DictReader(file)
    assert {key: record[key] for key in facts} == facts


def test_a_csv_with_other_columns_is_not_touched(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match="columns"):
        add_csv_rows([csv_record(row(), {})], path)
    assert path.read_text() == "a,b\n1,2\n"


def test_the_summary_shows_corpora_and_hides_their_other_categories():
    rows = [row(), row(subset="swb"), row(subset="ch"), row(subset="Female")]
    rows += [row("hub5e_01"), row("hub5e_01", "Part 0")]
    names = [line.split("  ")[0] for line in summary_table(rows).splitlines()]
    assert names == [
        "set", "hub5e_00", "hub5e_00.swb", "hub5e_00.ch", "hub5e_01", "hub5e_01.Part 0"
    ]  # fmt: skip
    nothing = row(counts=Counts())._replace(interval=Interval(math.nan, math.nan, "x"))
    assert "n/a" in summary_table([nothing])
