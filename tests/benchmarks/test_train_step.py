"""The benchmark of a training step, on what can be said without measuring."""

import pytest
import torch

from benchmarks import train_step, train_step_cases
from espnet_ext.errors import OptionError


def test_each_row_is_compared_with_its_own_peer():
    rows = [
        {"case": "stock", "seconds": 8.0, "peak_mb": 100.0},
        {"case": "our_conformer", "seconds": 4.0, "peak_mb": 70.0},
        {"case": "torch_blstm", "seconds": 3.0, "peak_mb": 50.0},
        {"case": "our_blstm", "seconds": 2.0, "peak_mb": 60.0},
    ]
    train_step.compare(rows)
    assert [row["times_faster"] for row in rows] == [1.0, 2.0, 1.0, 1.5]
    assert [row["memory_ratio"] for row in rows] == [1.0, 0.7, 1.0, 1.2]


def test_steps_are_taken_in_turn_and_their_medians_given(monkeypatch):
    taken = []

    class Worker:
        parameters = 5

        def __init__(self, case, threads):
            self.case, self.steps = case, 0

        def step(self):
            taken.append(self.case)
            self.steps += 1
            parts = dict.fromkeys(train_step.PARTS, 1.0)
            return {**parts, "seconds": float(self.steps), "peak_mb": 7.0}

        def end(self):
            taken.append("end")

    monkeypatch.setattr(train_step, "Worker", Worker)
    rows = train_step.measure(["a", "b"], 1, 3)
    assert taken == ["a", "b"] * 4 + ["end"] * 2
    assert [row["seconds"] for row in rows] == [3.0, 3.0]  # the first is the warm-up


def test_unknown_cases_are_refused(tmp_path):
    words = ["--json", str(tmp_path / "x.json"), "--cases", "stock mine"]
    with pytest.raises(OptionError, match="stock mine"):
        train_step.benchmark(train_step.get_parser().parse_args(words))


def test_both_stacks_of_lstms_have_the_same_shapes(monkeypatch):
    monkeypatch.setattr(train_step_cases, "BLSTM_UNITS", 4)
    monkeypatch.setattr(train_step_cases, "BATCH", 1)
    monkeypatch.setattr(train_step_cases, "FRAMES", 20)
    sizes = []
    for case in ("our_blstm", "torch_blstm"):
        step = train_step_cases.Step(case)
        weights = [p for p in step.model.parameters() if p.dim() == 2]
        sizes.append(sorted(tuple(p.shape) for p in weights))
        before = [p.detach().clone() for p in step.model.parameters()]
        assert len(step()) == len(train_step.PARTS)
        after = step.model.parameters()
        assert all(not torch.equal(a, b) for a, b in zip(after, before))
    assert sizes[0] == sizes[1]


def test_all_cases_are_measured_and_compared_with_one_another():
    assert set(train_step.COMPARED) == set(train_step_cases.CASES)
    assert set(train_step.COMPARED.values()) <= set(train_step.COMPARED)
