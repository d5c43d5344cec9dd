"""The GPU benchmark where there is no GPU: it says so, or checks values only."""

import json

import pytest
import torch

from benchmarks import loss_gpu


def test_without_a_gpu_each_row_says_that_it_was_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loss_gpu.main(["--json", str(tmp_path / "rows.json")])
    assert "not run: no GPU" in capsys.readouterr().out
    written = json.loads((tmp_path / "rows.json").read_text())
    assert written["settings"]["gpu"] is None
    assert {row["status"] for row in written["rows"]} == {"not run: no GPU"}
    assert {row["name"] for row in written["rows"]} >= {"fused", "torchaudio"}
    assert not any("time_ms" in row for row in written["rows"])


def test_interpreted_losses_equal_torchaudio(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton comes with torch on Linux only")
    loss_gpu.main(["--json", str(tmp_path / "rows.json"), "--interpret"])
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    # torchaudio gets its bfloat16 logits rounded, the kernels keep float32
    limits = {"bfloat16": 2e-2, "float32": 1e-5}
    assert {row["dtype"] for row in rows} == set(limits)
    for row in rows:
        assert row["difference"] < limits[row["dtype"]]
        assert "time_ms" not in row


def test_rows_are_ratios_to_torchaudio_and_to_the_floor(monkeypatch):
    def measured(size, dtype, name, repeats):
        if name == "floor":
            return {"time_ms": 2.0}
        if name == "warp_rnnt":
            return {"status": "not run: No module named 'warp_rnnt'"}
        times = {"torchaudio": (40.0, 100.0, [2.0, 4.0])}
        time_ms, peak_mb, nll = times.get(name, (8.0, 5.0, [2.0, 4.004]))
        found = {"time_ms": time_ms, "peak_mb": peak_mb, "nll": nll}
        return {"status": "measured", **found}

    monkeypatch.setattr(loss_gpu, "in_fresh_process", measured)
    size = loss_gpu.Size(1, 2, 3, 4)
    rows = {row["name"]: row for row in loss_gpu.rows_on_gpu(size, "float32", 1)}
    assert set(rows) == set(loss_gpu.LOSSES)
    fused = rows["fused"]
    assert (fused["time_ratio"], fused["memory_ratio"]) == (0.2, 0.05)
    assert fused["floor_fraction"] == 0.25
    assert fused["difference"] == pytest.approx(1e-3)
    assert rows["warp_rnnt"]["status"].startswith("not run")
    assert "nll" not in fused and "time_ratio" not in rows["warp_rnnt"]
    assert "not run" in loss_gpu.table(list(rows.values()))


def test_a_measurement_that_fails_is_a_row_and_not_the_end():
    found = loss_gpu.in_fresh_process(loss_gpu.TINY, "no such type", "fused", 1)
    assert found["status"].startswith("fails:")
