"""Folders that appear only when complete, for corpora that are made here."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Iterator

from espnet_ext.errors import OptionError
from espnet_ext.files import disk_full_is_a_user_error

MAKING = ".making-"


def read_stamp(root: Path, name: str) -> Any:
    """The content of a JSON stamp in a folder, or None if there is none to read."""
    try:
        return json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def check_replaceable(root: Path, stamp: str) -> None:
    """Refuse to replace a folder that was not made here.

    Raises:
        OptionError: ``root`` is a file, or has files but not the stamp.
    """
    if not root.exists():
        return
    if not root.is_dir() or (any(root.iterdir()) and not (root / stamp).exists()):
        raise OptionError(
            f"holds something else (it has no {stamp})",
            where=root,
            expected="a new or empty folder, or one made by this command",
            next_step="choose another folder, or remove this one yourself",
        )


@contextlib.contextmanager
def replaced_folder(root: Path) -> Iterator[Path]:
    """Yield a new folder beside ``root`` that takes its place when the block succeeds.

    What killed processes have left behind is removed.

    Raises:
        DiskFullError: No space left.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    for stale in root.parent.glob(f".{root.name}{MAKING}*"):
        if not _alive(stale.name.rpartition("-")[2]):
            shutil.rmtree(stale, ignore_errors=True)
    folder = root.with_name(f".{root.name}{MAKING}{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    old = root.with_name(f".{root.name}{MAKING}old-{os.getpid()}")
    try:
        with disk_full_is_a_user_error(root):
            folder.mkdir()
            yield folder
            if root.exists():
                root.rename(old)
            folder.rename(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
