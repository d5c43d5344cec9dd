"""Reads packed models (the .zip of ``espnet2.bin.pack``) after checking them."""

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict

from espnet_ext.errors import FormatError, MissingInputError

MAX_UNPACKED_BYTES = 8 * 2**30  # more than any model here; a bomb is far larger
# weights hardly shrink and texts by 20 at most; bombs are packed by 1000 and more
MAX_RATIO = 200
SMALL_BYTES = 2**20  # a short file of one repeated byte is no bomb
MAX_MEMBERS = 10_000
PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


def check_archive(path: Path) -> None:
    """Refuse archives that could write outside the folder, or fill the disk.

    Members must be files or folders (no links, devices, pipes) with relative names
    without ``..``; their sizes, numbers and the ratio of packing are limited.

    Raises:
        MissingInputError: There is no such file.
        FormatError: Naming the archive and the member.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError("file not found", where=path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError(
            f"cannot be read as a packed model ({error})",
            where=path,
            expected="a .zip file that stage 14 or espnet2.bin.pack wrote",
        ) from None
    if len(members) > MAX_MEMBERS:
        raise FormatError(
            f"{len(members)} members", where=path, expected=f"at most {MAX_MEMBERS}"
        )
    names = set()
    for member in members:
        _check_member(member, path)
        if member.filename in names:
            raise FormatError(f"member {member.filename!r} is there twice", where=path)
        names.add(member.filename)
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED_BYTES:
        raise FormatError(
            f"would unpack to {total / 2**30:.1f} GiB",
            where=path,
            expected=f"at most {MAX_UNPACKED_BYTES // 2**30} GiB",
        )
    # members may share their bytes, so the file's own size counts
    if total > SMALL_BYTES and total > MAX_RATIO * path.stat().st_size:
        raise FormatError(
            f"would unpack to {total / path.stat().st_size:.0f} times its size",
            where=path,
            expected=f"at most {MAX_RATIO} times",
        )


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    # ZipInfo cuts names at a null byte and unifies separators of this system alone
    name = PurePosixPath(member.filename.replace("\\", "/"))
    drive = name.parts[:1] and ":" in name.parts[0]
    if name.is_absolute() or ".." in name.parts or drive:
        raise FormatError(f"member {member.filename!r} leaves the folder", where=path)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise FormatError(f"member {member.filename!r} is a link", where=path)
    if kind not in PLAIN_KINDS:
        raise FormatError(
            f"member {member.filename!r} is neither a file nor a folder", where=path
        )
    if member.flag_bits & 0x1:
        raise FormatError(f"member {member.filename!r} is encrypted", where=path)
    size, packed = member.file_size, max(member.compress_size, 1)
    if size > SMALL_BYTES and size > MAX_RATIO * packed:
        raise FormatError(
            f"member {member.filename!r} would unpack to {size // packed} times "
            "its size",
            where=path,
            expected=f"at most {MAX_RATIO} times",
        )


def unpack_archive(path: Path, folder: Path) -> Dict[str, str]:
    """Check a packed model, then unpack it into ``folder``; its files by their role.

    Raises:
        MissingInputError: There is no such file.
        FormatError: It is not safe, or no packed model.
    """
    from espnet2.main_funcs.pack_funcs import UnsafeArchiveMemberError, unpack

    check_archive(path)
    try:
        # a folder that is there may be of another archive of the same name
        files = unpack(path, folder, use_cache=False)
    except (RuntimeError, KeyError, AssertionError, UnsafeArchiveMemberError) as error:
        raise FormatError(
            f"is no packed model ({error})",
            where=path,
            expected="meta.yaml with the names of configuration and weights",
        ) from None
    inside = Path(folder).resolve()
    for role, file in files.items():
        if inside not in Path(file).resolve().parents:
            raise FormatError(
                f"meta.yaml names {file} as {role}, outside the archive", where=path
            )
    return files


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
