"""What the system gets back of freed memory."""

import argparse
import subprocess
import sys

import pytest

from espnet_ext.tasks.asr import ASRTask, TransducerTask
from espnet_ext.train import freed_memory

MB = 2**20
# large blocks between small ones that stay, as tensors between objects
PROGRAM = f"""
from espnet_ext.train.freed_memory import return_freed_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if CALLED:
    assert return_freed_blocks()
del [b"x" * (9 * {MB})][0]  # glibc's own threshold is above this from now on
kept, start = [], resident()
blocks = []
for _ in range(8):
    blocks.append(b"x" * (8 * {MB}))
    kept.append(b"x" * 100_000)
blocks.clear()
print(resident() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is the C library of Linux")
def test_freed_blocks_leave_the_process():
    def left(called):
        program = PROGRAM.replace("CALLED", str(called))
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert left(False) > 48 * MB
    assert left(True) < 8 * MB


@pytest.mark.parametrize("library", [object(), None])
def test_another_c_library_is_left_alone(library, monkeypatch):
    def load(name):
        if library is None:
            raise OSError("no library")
        return library

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", load)
    assert freed_memory.return_freed_blocks() is False


@pytest.mark.parametrize("recompute", [False, True])
def test_a_training_that_recomputes_gives_memory_back(recompute, monkeypatch):
    called = []
    monkeypatch.setattr(ASRTask, "main_worker", classmethod(lambda cls, args: None))
    monkeypatch.setattr(
        "espnet_ext.tasks.asr.return_freed_blocks", lambda: called.append(True)
    )
    args = argparse.Namespace(collect_stats=True, dry_run=False)
    args.model_conf = {"recompute": recompute}
    TransducerTask.main_worker(args)
    assert called == [True] * recompute
