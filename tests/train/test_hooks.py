"""Hooks are called at their moments, once, and their state is part of a checkpoint."""

import signal
import time

from espnet_ext.train import hooks
from espnet_ext.train.hooks import SubEpochHook
from tests.train.tiny_training import checkpoint, start, train, words


class Diary(SubEpochHook):
    """Writes down every call, and keeps the first sub-epoch's weights."""

    def __init__(self):
        self.entries = []

    def begin_sub_epoch(self, epoch, parts):
        self.entries.append(f"begin {epoch}")

    def before_update(self, num_batches, parts):
        assert any(p.grad is not None for p in parts.model.parameters())
        self.entries.append(f"before {parts.updates} of {num_batches}")

    def after_update(self, parts):
        self.entries.append(f"after {parts.updates}")

    def end_sub_epoch(self, epoch, scores, parts):
        assert parts.history[epoch]["valid"]["loss"] == scores["valid"]["loss"]
        self.entries.append(f"end {epoch}")

    def keep_epochs(self, epoch, parts):
        return [1]

    def state_dict(self):
        return {"entries": list(self.entries)}

    def load_state_dict(self, state):
        self.entries = list(state["entries"])


def expected(epochs):
    entries, updates = [], 0
    for epoch in range(1, epochs + 1):
        entries.append(f"begin {epoch}")
        for _ in range(2):
            entries += [f"before {updates} of 2", f"after {updates + 1}"]
            updates += 1
        entries.append(f"end {epoch}")
    return entries


def test_hooks_are_called_at_their_moments(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setitem(hooks.HOOKS, "diary", lambda parts, options: Diary())
    monkeypatch.setitem(hooks.HOOKS, "absent", lambda parts, options: None)
    folder = tmp_path / "exp"
    options = ("--accum_grad", "2", "--keep_nbest_models", "1", "--max_epoch", "4")
    train(words(tiny_data, folder, *options), tmp_path / "log")
    state = checkpoint(folder)["hooks"]
    assert state == {"diary": {"entries": expected(4)}}
    assert (folder / "1epoch.pth").exists()  # wanted by the hook


def test_a_resumed_training_calls_no_hook_twice(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setitem(hooks.HOOKS, "diary", lambda parts, options: Diary())
    options = ("--accum_grad", "2", "--save_interval_updates", "1", "--max_epoch", "4")
    command = words(tiny_data, tmp_path / "exp", *options)
    child = start(command, tmp_path / "log")
    while not (tmp_path / "exp" / "checkpoint.pth").exists():
        time.sleep(0.002)
    child.kill(signal.SIGKILL)
    child.wait()
    train(command, tmp_path / "log2")
    assert checkpoint(tmp_path / "exp")["hooks"]["diary"]["entries"] == expected(4)
