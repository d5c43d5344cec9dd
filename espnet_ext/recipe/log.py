"""Log lines in asr.sh's form, to the screen and to the log of the stage."""

import datetime
import sys
from pathlib import Path
from typing import Mapping, Optional, TextIO


class StageLog:
    """Writes lines to the screen and to one log file per stage.

    Args:
        path: The log file; None for the screen alone.
        name: Shown in each line where asr.sh shows file and function.
    """

    def __init__(self, path: Optional[Path], name: str, screen: TextIO = None):
        self.path = path
        self.name = name
        self.screen = screen
        self._file: Optional[TextIO] = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a", encoding="utf-8")

    def _print(self, text: str, detail: bool) -> None:
        if not detail:
            print(text, file=self.screen or sys.stdout, flush=True)
        if self._file is not None:
            print(text, file=self._file, flush=True)

    def _line(self, message: str) -> str:
        now = datetime.datetime.now().strftime("%Y-%m-%dT%H:%M:%S")
        return f"{now} (recipe:{self.name}) {message}"

    def info(self, message: str) -> None:
        """A line for the screen and the log."""
        self._print(self._line(message), detail=False)

    def detail(self, message: str) -> None:
        """A line for the log only."""
        self._print(self._line(message), detail=True)

    def summary(self, title: str, facts: Mapping[str, object]) -> None:
        """The screen at the end of a stage: one line a fact."""
        self.info(title)
        width = max((len(name) for name in facts), default=0)
        for name, value in facts.items():
            self._print(f"    {name:{width}}  {value}", detail=False)
        if self.path is not None:
            self._print(f"    {'log':{width}}  {self.path}", detail=False)

    def close(self) -> None:
        """Close the log file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "StageLog":
        return self

    def __exit__(self, *unused) -> None:
        self.close()


def seconds(duration: float) -> str:
    """A duration for people: 12 s, 3 min 05 s, 2 h 10 min."""
    whole = round(duration)
    if whole < 60:
        return f"{duration:.1f} s" if duration < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def hours(duration: float) -> str:
    """An amount of speech for people: minutes below two hours."""
    if duration < 2 * 3600:
        return f"{duration / 60:.1f} min"
    return f"{duration / 3600:.1f} h"
