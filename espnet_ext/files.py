"""Files written to a temporary name and renamed, so that no reader sees half a file."""

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Iterator, List, Optional, TextIO, Union

from espnet_ext.errors import (
    DiskFullError,
    FormatError,
    MissingInputError,
    OutputError,
)

PathLike = Union[str, Path]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, ulimit -f
UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
)


@contextlib.contextmanager
def disk_full_is_a_user_error(target: PathLike) -> Iterator[None]:
    """Turn an error in ``FULL`` raised inside the block into a DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(
                "no space left on the device while writing",
                where=target,
                next_step="free some space and run the same command again; "
                "results finished so far are kept",
            ) from error
        raise


@contextlib.contextmanager
def _unwritable_is_a_user_error(target: Path) -> Iterator[None]:
    """Turn a place where nothing can be written into an OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise OutputError(
            f"cannot be written: {error.strerror}",
            where=target,
            next_step="choose another folder, or change what stands in the way",
        ) from error


@contextlib.contextmanager
def atomic_path(target: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; renamed to it if the block succeeds.

    The temporary file keeps the suffix of the target, because some writers
    (soundfile, numpy, matplotlib) choose the format by it.

    Raises:
        DiskFullError: The device is full.
        OutputError: Nothing can be written there (permissions, a file in place of a
            folder or the reverse).
    """
    target = Path(target)
    temporary = target.parent / f".{target.stem}.{secrets.token_hex(6)}{target.suffix}"
    with disk_full_is_a_user_error(target):
        with _unwritable_is_a_user_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            # not mkstemp: its files are private, a result is as readable as any file
            temporary.touch(exist_ok=False)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            with _unwritable_is_a_user_error(target):
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(target: PathLike) -> Iterator[TextIO]:
    """Open a UTF-8 text file with ``\\n`` line ends that appears only when complete."""
    with atomic_path(target) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            yield file


def read_lines(path: PathLike, or_else: Optional[str] = None) -> List[str]:
    """The lines of a UTF-8 text file without line ends (``\\r\\n`` accepted).

    Args:
        or_else: Another encoding for a file that is not UTF-8, such as those of the
            1990s (``latin-1``); None makes that an error.

    Raises:
        MissingInputError: The file does not exist.
        FormatError: It is not UTF-8, or a folder.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingInputError("file not found", where=path) from None
    except IsADirectoryError:
        raise FormatError("is a folder", where=path, expected="a file") from None
    except UnicodeDecodeError as error:
        if or_else is None:
            raise FormatError(
                f"byte {error.start} is not UTF-8", where=path, expected="UTF-8 text"
            ) from None
        text = Path(path).read_bytes().decode(or_else)
    # not splitlines(), which also splits at characters that occur inside transcripts
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
