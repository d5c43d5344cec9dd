"""The GPU benchmark where there is no GPU: it says so, or checks values only."""

import json

import pytest

from benchmarks import loss_gpu

torch = pytest.importorskip("torch")


def test_without_a_gpu_each_row_says_that_it_was_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loss_gpu.main(["--json", str(tmp_path / "rows.json")])
    assert "not run: no GPU" in capsys.readouterr().out
    written = json.loads((tmp_path / "rows.json").read_text())
    assert written["settings"]["gpu"] is None
    assert {row["status"] for row in written["rows"]} == {"not run: no GPU"}
    assert {row["name"] for row in written["rows"]} >= {"fused", "torchaudio"}
    assert not any("time_ms" in row for row in written["rows"])


def test_interpreted_losses_equal_torchaudio(tmp_path):
    pytest.importorskip("triton", reason="Triton comes with torch on Linux only")
    loss_gpu.main(["--json", str(tmp_path / "rows.json"), "--interpret"])
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    # torchaudio gets its bfloat16 logits rounded, the kernels keep float32
    limits = {"bfloat16": 2e-2, "float32": 1e-5}
    assert {row["dtype"] for row in rows} == set(limits)
    for row in rows:
        assert row["difference"] < limits[row["dtype"]]
        assert "time_ms" not in row
