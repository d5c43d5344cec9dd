"""Progress of a long step: a bar with ETA on a terminal, sparse lines elsewhere.

A child process reports through a small file (named by an environment variable), so
that its output can go to a log and its parent still knows how far it is.
"""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple, Optional, Union

from espnet_ext.files import atomic_write

REPORT_VARIABLE = "ESPNET_EXT_PROGRESS"
LINE_INTERVAL_S = 10.0


class ProgressReport(NamedTuple):
    """How far a child process is: ``done`` of ``total`` units, and a short note."""

    done: float
    total: float
    note: str


class Progress:
    """Shows how much of ``total`` units is done and when it should end."""

    def __init__(self, total: float, label: str, stream=None):
        self.total = total
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.done = 0.0
        self.note = ""
        self._start = self._last_line = time.monotonic()
        self._bar = None
        if self.stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, file=self.stream, leave=False)

    def update(self, done: float, note: str = "") -> None:
        """Set the number of units done so far and an optional short note."""
        self.done, self.note = done, note
        if self._bar is not None:
            self._bar.n = round(done, 2)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.refresh()
        elif time.monotonic() - self._last_line >= LINE_INTERVAL_S:
            self._last_line = time.monotonic()
            print(self._line(), file=self.stream, flush=True)

    def _line(self) -> str:
        elapsed = time.monotonic() - self._start
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        eta = f", {elapsed * (1 - share) / share:.0f} s left" if share > 0 else ""
        note = f", {self.note}" if self.note else ""
        return f"  {self.label}: {100 * share:.0f} % in {elapsed:.0f} s{eta}{note}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *unused) -> None:
        if self._bar is not None:
            self._bar.close()


def report(done: float, total: float, note: str = "") -> None:
    """Tell the parent process how far this one is; nothing if no parent listens."""
    path = os.environ.get(REPORT_VARIABLE)
    if path:
        with atomic_write(path) as file:
            file.write(f"{done}\t{total}\t{note}\n")


def read_report(path: Union[str, Path]) -> Optional[ProgressReport]:
    """The last report of a child process, or None before the first."""
    try:
        done, total, note = Path(path).read_text(encoding="utf-8").split("\t", 2)
        return ProgressReport(float(done), float(total), note.strip())
    except (FileNotFoundError, ValueError):
        return None
