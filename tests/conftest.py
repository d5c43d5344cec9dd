"""Same random numbers in every run, and a closing word on comparisons not made."""

import os
import random
import sys
from pathlib import Path

import hypothesis
import numpy
import pytest

from tests.shared import SHARED

SEED = 1

# Of tests that run side by side each keeps to one core: tiny products gain nothing from
# a second thread, and lose much where it is taken.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Triton's kernels run in its interpreter where there is no GPU to run them on. It has
# to know before anything imports it, and torch does now and then.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# a failure on one machine is then a failure on every machine
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Seed the global generators, for code under test that uses them."""
    random.seed(SEED)
    numpy.random.seed(SEED)
    if "torch" in sys.modules:  # tests that need no torch must not pay for its import
        sys.modules["torch"].manual_seed(SEED)


def pytest_collection_modifyitems(items) -> None:
    """Trainings come first: they fork, which torch's autograd forbids to a process that
    has once compiled a model or computed on another device.
    """
    training = Path(__file__).parent / "train"
    items.sort(key=lambda item: training not in Path(item.path).parents)


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many comparisons with the original were skipped, its values absent."""
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "set ESPNET_EXT_SHARED" in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(
            f"reference comparisons: {len(skipped)} skipped, because {SHARED} does not "
            "hold the values of the original (set ESPNET_EXT_SHARED to their folder)",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def denormal_floats():
    """Trainings flush denormal floats to zero; whatever is tested next must not."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)
