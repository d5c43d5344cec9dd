"""A clone of the repository, and its run.sh as a process of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Sequence

import psutil

from tests.shared import REPOSITORY

LIMIT_S = 600


def clone_of(folder: Path) -> Path:
    """The recipe folder of a fresh clone."""
    command = ["git", "clone", "--quiet", str(REPOSITORY), str(folder)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    return folder / "egs2" / "swbd_repro"


def start(recipe: Path, words: Sequence[str]) -> subprocess.Popen:
    """Start a command of the recipe."""
    environment = {**os.environ, "PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    return subprocess.Popen(
        words,
        cwd=recipe,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(recipe: Path, words: Sequence[str]) -> str:
    """Run a command to its end; returns what it printed."""
    process = start(recipe, words)
    screen, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, screen
    return screen


def wait_for(process: subprocess.Popen, there) -> None:
    """Wait until ``there()`` is true, or the process has ended."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and process.poll() is None and not there():
        time.sleep(0.02)


def interrupt(process: subprocess.Popen) -> str:
    """Ctrl-C; returns what was printed. It has to end with the status of one."""
    process.send_signal(signal.SIGINT)
    screen, _ = process.communicate(timeout=60)
    assert process.returncode == 130, screen
    return screen


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to the process and all that it has started."""
    started = psutil.Process(process.pid)
    for each in [started, *started.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.communicate(timeout=60)


def ran(screen: str) -> List[int]:
    """Numbers of the stages that did something, in order."""
    return [int(n) for n in re.findall(r"Stage (\d+) finished in", screen)]
