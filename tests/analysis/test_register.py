"""The register of own results only grows, and only by what is new."""

import multiprocessing

import pytest

from espnet_ext.analysis.register import FIELDS, append_results, read_register
from espnet_ext.analysis.tables import CSV_FIELDS
from espnet_ext.errors import FormatError


def record(**values):
    return {field: str(values.get(field, "")) for field in CSV_FIELDS}


def test_a_result_is_kept_with_all_that_it_depends_on(tmp_path):
    path = tmp_path / "new" / "runs.csv"
    values = {field: f"{field} value" for field in CSV_FIELDS}
    append_results(path, [record(**values)], experiment="start", corpus="ldc")
    (row,) = read_register(path)
    assert {field: row[field] for field in CSV_FIELDS} == values
    assert (row["experiment"], row["corpus"], row["note"]) == ("start", "ldc", "")
    assert row["date"].startswith("20")


def test_scoring_the_same_output_again_adds_nothing(tmp_path):
    path = tmp_path / "runs.csv"
    append_results(path, [record(wer=1)], experiment="start")
    before = path.read_bytes()
    assert append_results(path, [record(wer=1)], experiment="start") == []
    assert path.read_bytes() == before


def test_another_result_is_a_new_row_and_the_old_one_stays(tmp_path):
    path = tmp_path / "runs.csv"
    append_results(path, [record(wer=1)], experiment="start", note='a, "b"')
    append_results(path, [record(wer=2)], experiment="start")
    assert [row["wer"] for row in read_register(path)] == ["1", "2"]
    assert read_register(path)[0]["note"] == 'a, "b"'


def _append(path, number):
    append_results(path, [record(wer=number)], experiment="start")


def test_experiments_scored_at_the_same_time_lose_no_row(tmp_path):
    path = tmp_path / "runs.csv"
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_append, args=(path, n)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(row["wer"] for row in read_register(path)) == list("01234567")


@pytest.mark.parametrize(
    "text, message",
    [("a,b\n1,2\n", "columns a, b"), (",".join(FIELDS) + "\n1,2\n", "line 2")],
)
def test_a_damaged_register_is_refused_and_not_written_over(tmp_path, text, message):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        append_results(path, [record()], experiment="start")
    assert path.read_text() == text
