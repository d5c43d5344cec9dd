"""Runs a pipeline of tests/e2e through run.sh in a fresh clone, and interrupts it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

from tests.shared import REPOSITORY

LIMIT_S = 600
POLL_S = 0.02


def clone(folder: Path) -> Path:
    """The recipe folder of a clone made in ``folder``."""
    target = folder / "clone"
    command = ["git", "clone", "--quiet", str(REPOSITORY), str(target)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    return target / "egs2" / "swbd_repro"


class PipelineRuns:
    """Runs of one pipeline.

    Args:
        recipe: Folder with run.sh.
        name: Of the file in tests/e2e.
    """

    def __init__(self, recipe: Path, name: str):
        self.recipe = recipe
        self.name = name

    def folder(self, stage: str) -> Path:
        """The experiment of a training."""
        return self.recipe / "exp" / f"asr_{self.name}_{stage}_raw_en_bpe50"

    def start(self, *more: str) -> subprocess.Popen:
        """Begin a run."""
        settings = f"--pipeline ../../tests/e2e/{self.name}.yaml --size tiny --nbpe 50"
        settings += " --nj 1 --inference_nj 1 --test_sets rt03s --skip_packing true"
        words: List[str] = ["./run.sh", *settings.split()]
        environment = {**os.environ, "PYTHON": sys.executable}
        environment.pop("PYTHONPATH", None)
        return subprocess.Popen(
            [*words, "--speed_perturb_factors", "", *more],
            cwd=self.recipe,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *more: str) -> str:
        """Run to the end; returns what was printed."""
        process = self.start(*more)
        screen, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, screen
        return screen

    def interrupt(self, moment: Path, *more: str) -> str:
        """Interrupt a run as soon as a file is there; returns what was printed."""
        process = self.start(*more)
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and process.poll() is None:
            if moment.exists():
                break
            time.sleep(POLL_S)
        process.send_signal(signal.SIGINT)
        screen, _ = process.communicate(timeout=60)
        assert process.returncode == 130, screen
        return screen


def ran(screen: str) -> List[int]:
    """Stages that did something, in order."""
    return [int(n) for n in re.findall(r"Stage (\d+) finished in", screen)]
