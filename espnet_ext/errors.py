"""Errors a user can act on: what was found, where, what is expected, what to do."""

import os
import sys
from typing import Callable, Optional

EXIT_USER_ERROR = 1
EXIT_NONFINITE = 3  # a training stopped because of values that are not finite
EXIT_SAVED = 75  # a training was asked to stop and saved; "try again" in sysexits.h
EXIT_BROKEN_PIPE = 141  # what a shell reports for a process ended by SIGPIPE
EXIT_INTERRUPTED = 130  # what a shell reports after Ctrl-C


class UserError(Exception):
    """Bad input or environment; shown as a message, never as a traceback.

    Args:
        found: What is wrong, in one sentence.
        where: File, line, option or utterance it was found in.
        expected: What would have been right.
        next_step: What to type or change now.
    """

    exit_status = EXIT_USER_ERROR

    def __init__(
        self,
        found: str,
        *,
        where: Optional[object] = None,
        expected: Optional[str] = None,
        next_step: Optional[str] = None,
    ):
        self.found = found
        self.where = None if where is None else str(where)
        self.expected = expected
        self.next_step = next_step
        super().__init__(self.message())

    def message(self) -> str:
        """The text for the user: one line a fact."""
        head = self.found if self.where is None else f"{self.where}: {self.found}"
        lines = [head]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.next_step is not None:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


class MissingInputError(UserError):
    """A file or folder that is needed does not exist."""


class FormatError(UserError):
    """A file exists but does not hold what it should."""


class AudioError(UserError):
    """An audio file cannot be read as it should be."""


class OptionError(UserError):
    """A command-line option or configuration key is unknown or has a wrong value."""


class ToolMissingError(UserError):
    """An external program or optional package is needed and absent."""


class DiskFullError(UserError):
    """Writing failed because the device is full."""


class OutputError(UserError):
    """A result cannot be written where it should go."""


class FolderInUseError(UserError):
    """Another process writes into this folder."""


class CheckpointError(UserError):
    """No checkpoint can be read, or it belongs to other settings."""


class NonFiniteError(UserError):
    """A training was stopped because of values that are not finite."""

    exit_status = EXIT_NONFINITE


class TrainingInterrupted(UserError):
    """A training was asked to stop; it has saved and can be continued."""

    exit_status = EXIT_SAVED


class PeerError(UserError):
    """Another process of a distributed training died or failed."""


class StageFailedError(UserError):
    """A stage or one of its jobs ended with an error; the log says why."""


def run_main(
    main: Callable[[], Optional[int]], user_error: int = EXIT_USER_ERROR
) -> int:
    """Call ``main`` and turn user errors and Ctrl-C into a message and an exit status.

    Args:
        main: Returns its exit status.
        user_error: Status after an error that has none of its own.

    Returns:
        The value of ``main`` (None counts as 0), the error's status after a UserError
        (1 for most), 130 after Ctrl-C, 141 where the reader of the output went away.
    """
    try:
        status = main() or 0
        sys.stdout.flush()  # so that a closed pipe shows here, not while exiting
        return status
    except BrokenPipeError:
        # ``| head`` has seen enough; the interpreter must not flush into the pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except UserError as error:
        print(f"error: {error.message()}", file=sys.stderr)
        own = error.exit_status
        return user_error if own == EXIT_USER_ERROR else own
    except KeyboardInterrupt:
        print(
            "interrupted: finished results are kept; run the same command again "
            "to continue",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
