"""Reads packed models (the .zip of ``espnet2.bin.pack``) after checking them."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict

from espnet_ext.errors import FormatError

MAX_UNPACKED_BYTES = 8 * 2**30  # more than any model here; a bomb is far larger
UNIX_LINK = 0o120000


def check_archive(path: Path) -> None:
    """Refuse archives whose members leave the folder, are links, or are too large.

    Raises:
        FormatError: Naming the archive and the member.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError(
            f"cannot be read as a packed model ({error})",
            where=path,
            expected="a .zip file written by espnet2.bin.pack",
        ) from None
    total = 0
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise FormatError(
                f"member {member.filename!r} leaves the folder", where=path
            )
        if (member.external_attr >> 16) & 0o170000 == UNIX_LINK:
            raise FormatError(f"member {member.filename!r} is a link", where=path)
        total += member.file_size
    if total > MAX_UNPACKED_BYTES:
        raise FormatError(
            f"would unpack to {total / 2**30:.1f} GiB",
            where=path,
            expected=f"at most {MAX_UNPACKED_BYTES // 2**30} GiB",
        )


def unpack_archive(path: Path, folder: Path) -> Dict[str, str]:
    """Check a packed model, then unpack it into ``folder``; its files by their role."""
    from espnet2.main_funcs.pack_funcs import unpack

    check_archive(path)
    return unpack(path, folder)


def unpack_model(tag: str) -> Dict[str, str]:
    """Arguments of Speech2Text for a packed model.

    Args:
        tag: Path of a .zip file, unpacked into the folder ``NAME_unpacked`` beside it;
            anything else is handed to ESPnet's model zoo.
    """
    path = Path(tag)
    if path.suffix != ".zip" and not path.exists():
        from espnet2.utils.pretrained import download_pretrained

        return download_pretrained(tag)
    return unpack_archive(path, path.with_name(f"{path.stem}_unpacked"))
