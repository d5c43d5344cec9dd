"""A lock on an experiment's folder, so that two trainings never write into one."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Iterator

from espnet_ext.errors import FolderInUseError
from espnet_ext.files import PathLike

NAME = ".lock"


@contextlib.contextmanager
def folder_lock(folder: PathLike) -> Iterator[None]:
    """Hold the lock of a folder inside the block.

    The system releases it when the process ends, however it ends: a file that was left
    behind locks nothing. It is a record lock, which child processes do not inherit, so
    that data-loading workers which outlive a killed training do not hold it.

    Raises:
        FolderInUseError: Another process holds it; names host and process.
    """
    path = Path(folder) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise FolderInUseError(
                f"{holder} trains here",
                where=folder,
                next_step="wait for it, stop it, or choose another --output_dir",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
