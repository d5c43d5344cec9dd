"""Checkpoints that survive a kill, a crash of the machine and a full disk.

A checkpoint is written to a temporary file, flushed to the disk and renamed; the one
before it is kept. Its SHA-256 stands in the comment of the zip archive that
``torch.save`` makes, so that the file stays an ordinary one for every other reader and
checksum and content cannot be separated.
"""

import hashlib
import io
import logging
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, Dict, Optional, Tuple

import numpy
import torch

from espnet_ext.errors import CheckpointError, DiskFullError
from espnet_ext.files import PathLike, disk_full_is_a_user_error
from espnet_ext.train.checksum import (
    COMMENT_BYTES,
    NEWEST,
    PREFIX,
    PREVIOUS,
    damage,
)

TEMPORARY = ".checkpoint.pth.writing"
MARGIN_BYTES = 1 << 20  # for the archive's own tables, and for the log


class _Hashed(io.RawIOBase):
    """A file whose checksum is computed while it is written."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def canonical(value: Any, strings: Optional[Dict[str, str]] = None) -> Any:
    """The same content as plain objects, whose stored bytes depend on nothing else.

    A pickle also records which objects are one and the same, so that equal states could
    differ in bytes. Tensors are moved to the CPU.

    Raises:
        TypeError: A type that ``torch.load(weights_only=True)`` would refuse.
    """
    strings = {} if strings is None else strings
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        whole = tensor.numel() * tensor.element_size()
        if tensor.untyped_storage().nbytes() != whole or not tensor.is_contiguous():
            tensor = tensor.contiguous().clone()  # not the storage it is a part of
        return tensor
    if isinstance(value, (numpy.generic, numpy.bool_)):
        return value.item()
    if isinstance(value, str):
        return strings.setdefault(str(value), str(value))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {canonical(k, strings): canonical(v, strings) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [canonical(item, strings) for item in value]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}: {value!r}")


def content_bytes(value: Any) -> int:
    """Bytes of all tensors inside of nested containers."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(content_bytes(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return sum(content_bytes(item) for item in value)
    return 0


def check_free_space(folder: PathLike, needed: int) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        DiskFullError: Names the bytes needed and free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{free / 2**20:,.1f} MiB are free, the checkpoint needs "
            f"{needed / 2**20:,.1f} MiB",
            where=folder,
            next_step="free some space and run the same command again; training "
            "continues from the last checkpoint, which is untouched",
        )


def sync_folder(folder: PathLike) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_verified(path: PathLike, content: Any) -> None:
    """Store ``content`` with its checksum, flushed to the disk; not atomic.

    Raises:
        DiskFullError: The device is full, or becomes so.
    """
    path = Path(path)
    content = canonical(content)
    check_free_space(path.parent, content_bytes(content) + MARGIN_BYTES)
    try:
        with disk_full_is_a_user_error(path), open(path, "wb") as file:
            hashed = _Hashed(file)
            torch.save(content, hashed)
            digest = hashed.digest.hexdigest().encode("ascii")
            # the last two bytes of an archive are the length of its comment
            file.seek(-2, os.SEEK_END)
            file.write(COMMENT_BYTES.to_bytes(2, "little") + PREFIX + digest)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:
        # torch's writer hides the system's error behind one of its own
        raise DiskFullError(
            f"the checkpoint could not be written: {error}", where=path
        ) from error


class CheckpointStore:
    """The two newest checkpoints of a folder.

    Args:
        folder: Of the experiment.
    """

    def __init__(self, folder: PathLike):
        self.folder = Path(folder)
        self.newest = self.folder / NEWEST
        self.previous = self.folder / PREVIOUS
        self._newest_is_whole = False  # known without reading it

    def exists(self) -> bool:
        """Whether there is any, whole or not."""
        return self.newest.exists() or self.previous.exists()

    def remove(self) -> None:
        """Forget both."""
        for path in (self.newest, self.previous):
            path.unlink(missing_ok=True)

    def save(self, content: Dict[str, Any]) -> None:
        """Store a checkpoint; at every moment a whole one has one of the names.

        Raises:
            DiskFullError: There is no space; both older ones are untouched.
        """
        temporary = self.folder / TEMPORARY
        try:
            write_verified(temporary, content)
            self._keep_newest()
            os.replace(temporary, self.newest)
            self._newest_is_whole = True
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _keep_newest(self) -> None:
        if not self.newest.exists():
            return
        if not self._newest_is_whole and damage(self.newest) is not None:
            return
        # a second name first: the newest one is never missing in between
        link = self.folder / f"{TEMPORARY}.link"
        link.unlink(missing_ok=True)
        try:
            os.link(self.newest, link)
            os.replace(link, self.previous)
        except OSError:  # a file system without hard links
            os.replace(self.newest, self.previous)
        sync_folder(self.folder)

    def load(self, map_location: str = "cpu") -> Optional[Dict[str, Any]]:
        """The newest whole checkpoint, None if there is none at all.

        Raises:
            CheckpointError: There are files, but none is whole.
        """
        found = self.find()
        if found is None:
            return None
        path, _ = found
        content = torch.load(path, map_location=map_location, weights_only=True)
        logging.info(f"training continues from {path}")
        return content

    def find(self) -> Optional[Tuple[Path, Dict[str, str]]]:
        """Path of the newest whole checkpoint, and what is wrong with newer ones.

        Raises:
            CheckpointError: There are files, but none is whole.
        """
        wrong: Dict[str, str] = {}
        for path in (self.newest, self.previous):
            if not path.exists():
                continue
            problem = damage(path)
            if problem is None:
                return path, wrong
            wrong[str(path)] = problem
            logging.warning(f"{path}: damaged ({problem}); the one before it is used")
        if not wrong:
            return None
        raise CheckpointError(
            "no checkpoint is whole: "
            + "; ".join(f"{name}: {problem}" for name, problem in wrong.items()),
            where=self.folder,
            next_step="move these files away to train anew, or copy them back from a "
            "backup",
        )
