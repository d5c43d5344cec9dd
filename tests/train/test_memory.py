"""Two thousand updates do not let the process grow."""

import psutil
import pytest

from espnet_ext.train import hooks
from espnet_ext.train.hooks import SubEpochHook
from tests.train.tiny_training import checkpoint, train, words

# oneDNN keeps a kernel for every shape it has seen: by then it has seen them all
WARM_UP, END = 1000, 3000


class Weigher(SubEpochHook):
    """Remembers the resident memory after some updates."""

    def __init__(self):
        self.bytes = {}

    def after_update(self, parts):
        if parts.updates in (WARM_UP, END):
            self.bytes[parts.updates] = psutil.Process().memory_info().rss

    def state_dict(self):
        return {"bytes": dict(self.bytes)}


@pytest.mark.slow
def test_memory_grows_by_less_than_two_percent(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setitem(hooks.HOOKS, "weigher", lambda parts, options: Weigher())
    options = ("--num_iters_per_epoch", "100", "--max_epoch", "30")
    train(words(tiny_data, tmp_path / "exp", *options), tmp_path / "log")
    measured = checkpoint(tmp_path / "exp")["hooks"]["weigher"]["bytes"]
    assert measured[END] < 1.02 * measured[WARM_UP], measured
