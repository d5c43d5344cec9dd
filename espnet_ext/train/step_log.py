"""One line a batch for machines: ``train_steps.jsonl``, without times.

A training that was killed and continued writes the same bytes as one that was not: the
checkpoint knows how long the file was, and what came later is cut off.
"""

import json
import os
from typing import Any, Mapping

from espnet_ext.errors import OutputError
from espnet_ext.files import PathLike, disk_full_is_a_user_error

NAME = "train_steps.jsonl"


class StepLog:
    """The file, open for appending.

    Args:
        path: Of the file.
        length: Bytes to keep of an older one.

    Raises:
        OutputError: The file is shorter, so that lines of it are missing.
    """

    def __init__(self, path: PathLike, length: int = 0):
        self.path = path
        with disk_full_is_a_user_error(path):
            self._file = open(path, "ab")
        found = self._file.tell()
        if found < length:
            raise OutputError(
                f"has {found} bytes, the checkpoint has seen {length}",
                where=path,
                next_step="put the whole file back, or remove it and the checkpoints "
                "to train anew",
            )
        self._file.truncate(length)
        self._length = length

    def write(self, values: Mapping[str, Any]) -> None:
        """Add a line; on the disk after the next ``flush``."""
        line = json.dumps(values, ensure_ascii=False).encode("utf-8") + b"\n"
        with disk_full_is_a_user_error(self.path):
            self._length += self._file.write(line)

    def flush(self) -> int:
        """Flush all lines to the disk and return the length in bytes."""
        with disk_full_is_a_user_error(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._length

    def close(self) -> None:
        """Write what is left."""
        with disk_full_is_a_user_error(self.path):
            self._file.close()
