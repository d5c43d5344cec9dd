"""The register of published results holds every figure of the reference."""

import csv
import re
import shutil

import pytest

from espnet_ext.analysis.register import append_results
from espnet_ext.analysis.tables import CSV_FIELDS
from espnet_ext.errors import FormatError
from espnet_ext.experiments import readme_table
from espnet_ext.experiments.published import FIELDS, load_published
from tests.shared import REPOSITORY, shared_file

PUBLISHED = load_published(REPOSITORY / "results")


def rows():
    with open(shared_file("reference/experiments.tsv"), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_result_column_of_all_152_rows_is_in_the_register():
    sets = ("hub5e_00", "hub5e_01", "rt03s")
    sources = {"cfg": "experiment file", "seed": "README"}
    compared = 0
    for row in rows():
        figures = [f for f in PUBLISHED.figures if f.experiment == row["name"]]
        assert figures, row["name"]
        for prefix, source in sources.items():
            for set_ in sets:
                got = [f.value for f in figures if (f.set, f.source) == (set_, source)]
                text = row[f"{prefix}_{set_}"]
                assert got == ([float(text)] if text else []), (row["name"], set_)
                compared += bool(text)
        epochs = {f.epoch for f in figures if f.epoch}
        assert epochs == (
            {int(row["cfg_best_epoch"])} if row["cfg_best_epoch"] else set()
        )
        if row["status_note"]:
            assert row["status_note"] in PUBLISHED.notes(row["name"])
    assert compared > 350


def test_every_number_of_the_results_document_is_in_the_register():
    """Numbers with a decimal point, and those of the training-speed line."""
    text = shared_file("reference/results.md").read_text(encoding="utf-8")
    values = {f.value for f in PUBLISHED.figures}
    body = text.split("## 1.")[1].replace("2005.09319", "").replace("0.000565", "")
    for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", body):
        assert float(number) in values, number
    speed = re.search(r"Table 1 .*", text)[0].split("): ")[1]
    for number in re.findall(r"\d+", speed):
        assert float(number) in values


def test_every_figure_names_its_source_and_every_test_set_choice_its_rule():
    for figure in PUBLISHED.figures:
        assert figure.source
        if figure.source == "experiment file" and figure.value is not None:
            assert "test set" in figure.selection


def test_the_papers_table_of_topologies_is_copied_right():
    text = shared_file("reference/results.md").read_text(encoding="utf-8")
    table = re.findall(
        r"^\| (\S+) \| (full sum|Viterbi) \| (.*) \|$", text, re.MULTILINE
    )
    assert len(table) == 5
    for topology, criterion, cells in table:
        name = f"2020: topology {topology}, {criterion}"
        figures = [f for f in PUBLISHED.figures if f.experiment == name]
        got = {(f.set, f.subset): f.value for f in figures}
        columns = [("hub5e_00", "swb"), ("hub5e_00", "ch"), ("hub5e_00", "")]
        columns.append(("hub5e_01", ""))
        assert [got[c] for c in columns] == [float(x) for x in cells.split(" | ")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("experiment,set\nx,y\n", "columns"),
        (",".join(FIELDS) + "\nx,hub5e_00,,WER,abc,%,,,README,\n", "line 2.*abc"),
        (",".join(FIELDS) + "\nx,hub5e_00,,WER,1.0\n", "line 2.*fields"),
        (",".join(FIELDS) + "\nx,hub5e_00,,WER,1.0,%,,,,\n", "line 2.*no source"),
    ],
)
def test_a_damaged_register_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "published.csv").write_text(text)
    with pytest.raises(FormatError, match=f"(?s){message}"):
        load_published(tmp_path)


def test_the_readmes_table_is_up_to_date_and_says_not_run():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    made = readme_table.table(REPOSITORY / "results")
    assert (
        readme_table.with_table(text, made, REPOSITORY / "README.md") == text
    ), "run: python -m espnet_ext.experiments.readme_table"
    assert "| 16.8 / 15.7 / 19.4 | not run |" in made


def own_row(**values):
    row = {
        **{"experiment": "start_slowpretrain", "corpus": "ldc", "set": "hub5e_00"},
        **{"subset": "all", "metric": "hub5", "seed": "1", "wer": "18.21", **values},
    }
    return {field: row.get(field, "") for field in CSV_FIELDS}


def register(folder, *rows):
    facts = {"experiment": "start_slowpretrain", "corpus": "ldc"}
    append_results(folder / "runs.csv", rows, **facts)
    shutil.copy(REPOSITORY / "results" / "published.csv", folder)
    return readme_table.table(folder, ["start_slowpretrain"])


def test_a_run_of_ours_stands_beside_the_originals_result(tmp_path):
    other = [own_row(subset="swb", wer="9"), own_row(metric="CER", wer="5")]
    made = register(tmp_path, *other, own_row())
    assert "| `start_slowpretrain` | 18.0 / 17.1 / - | 18.2 / - / - |" in made


def test_seeds_are_given_as_mean_and_range_and_only_their_latest_result(tmp_path):
    register(tmp_path, own_row(wer="30.0"))
    made = register(tmp_path, own_row(), own_row(seed="2", wer="19.0"))
    assert "| 18.6 (18.2-19.0, 2 seeds) / - / - |" in made


def test_a_readme_without_marks_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no place"):
        readme_table.with_table("text", "table", tmp_path)
