"""The overhead benchmark runs both loops on the same batches and reports their ratio."""

import json

import pytest
import torch

from benchmarks import trainer_overhead


@pytest.mark.slow
def test_a_row_has_the_ratio_of_both_loops(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_overhead, "SIZES", {"small": (2, 24, 3, 8, 2)})
    file = tmp_path / "rows.json"
    command = ["--rounds", "2", "--batches", "2", "--sizes", "small", "--threads", "1"]
    assert trainer_overhead.main([*command, "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert len(row["ratios"]) == 2 and row["ratio"] > 0 and row["save_s"] > 0


@pytest.mark.slow
def test_both_loops_train_the_same_weights(tmp_path, monkeypatch):
    size = (2, 24, 3, 8, 2)
    batches = trainer_overhead.make_batches(size, 3)
    weights = []
    for kind in ("bare", "driver"):
        torch.manual_seed(1)
        model = trainer_overhead.make_model(8, 2)
        for module in model.modules():  # no dropout: the streams differ
            if hasattr(module, "rate"):
                module.rate = 0.0
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        if kind == "bare":
            trainer_overhead.bare_loop(model, optimizer, batches)
        else:
            trainer_overhead.driver_loop(model, optimizer, batches, tmp_path)
        weights.append(dict(model.named_parameters()))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=0)
