"""Files written to a temporary name and renamed, so that no reader sees half a file."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import Iterator, List, TextIO, Union

from espnet_ext.errors import DiskFullError, FormatError, MissingInputError

PathLike = Union[str, Path]


@contextlib.contextmanager
def disk_full_is_a_user_error(target: PathLike) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT raised inside the block into a DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "no space left on the device while writing",
                where=target,
                next_step="free some space and run the same command again; "
                "results finished so far are kept",
            ) from error
        raise


@contextlib.contextmanager
def atomic_path(target: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; renamed to it if the block succeeds.

    The temporary file keeps the suffix of the target, because some writers
    (soundfile, numpy, matplotlib) choose the format by it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        with disk_full_is_a_user_error(target):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        # mkstemp makes private files; a result is as readable as any new file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(target: PathLike) -> Iterator[TextIO]:
    """Open a UTF-8 text file with ``\\n`` line ends that appears only when complete."""
    with atomic_path(target) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            yield file


def read_lines(path: PathLike) -> List[str]:
    """The lines of a UTF-8 text file without line ends (``\\r\\n`` accepted).

    Raises:
        MissingInputError: The file does not exist.
        FormatError: It is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingInputError("file not found", where=path) from None
    except UnicodeDecodeError as error:
        raise FormatError(
            f"byte {error.start} is not UTF-8", where=path, expected="UTF-8 text"
        ) from None
    return text.splitlines()
