"""SIGTERM and SIGINT ask the training to save and to end after the batch at work."""

import contextlib
import os
import signal
from typing import Dict, Optional

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Remembers a request to stop while it is active; a second one ends at once.

    Only the process that made it saves. A data-loading worker that is a fork of it
    ignores SIGINT and the first SIGTERM, which may reach the whole group while its
    batches are still wanted; the loader ends its workers without them, or with another
    SIGTERM.
    """

    def __init__(self) -> None:
        self.received: Optional[int] = None
        self._owner = os.getpid()
        self._previous: Dict[int, object] = {}

    def _handle(self, number: int, frame) -> None:
        again = self.received is not None
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:
                self.received = number
                if again:
                    signal.signal(number, signal.SIG_DFL)
                    os.kill(os.getpid(), number)
            return
        self.received = number
        if again:
            self._restore()
            os.kill(os.getpid(), number)

    def __enter__(self) -> "StopSignals":
        with contextlib.suppress(ValueError):  # not the main thread: as it was
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __exit__(self, *unused) -> None:
        with contextlib.suppress(ValueError):
            self._restore()
