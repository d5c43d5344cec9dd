"""The register of published results holds every figure of the reference."""

import csv
import re
import shutil

import pytest

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


def test_a_run_of_ours_stands_beside_the_originals_result(tmp_path):
    shutil.copy(REPOSITORY / "results" / "published.csv", tmp_path)
    row = "start_slowpretrain,hub5e_00,,WER,18.2,%,150,lowest dev loss,exp/x,"
    (tmp_path / "runs.csv").write_text(",".join(FIELDS) + f"\n{row}\n")
    made = readme_table.table(tmp_path, ["start_slowpretrain"])
    assert "| `start_slowpretrain` | 18.0 / 17.1 / - | 18.2 / - / - |" in made


def test_a_readme_without_marks_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no place"):
        readme_table.with_table("text", "table", tmp_path)
