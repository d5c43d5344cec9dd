"""The benchmark of the data preparation runs and writes its rows."""

import json
import sys

from benchmarks import data_preparation
from tests.shared import shared_file


def test_each_figure_has_a_row(tmp_path, monkeypatch):
    root = shared_file("data/ldc-mini/ORIGIN.md").parent
    tables = []
    monkeypatch.setattr(data_preparation, "write_million_lines", tables.append)
    monkeypatch.setattr(
        data_preparation, "validate_data_dir", lambda *unused, **unused_too: None
    )
    arguments = ["--json", f"{tmp_path}/out.json", "--root", str(root), "--nj", "1"]
    monkeypatch.setattr(sys, "argv", ["data_preparation", *arguments])
    assert data_preparation.main() == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["what"].split(",")[0] for row in written["rows"]] == [
        "preparation",
        "preparation again",
        "validation of 1",
    ]
    assert all(row["seconds"] >= 0 for row in written["rows"])
    assert written["settings"]["root"] == str(root) and len(tables) == 1
