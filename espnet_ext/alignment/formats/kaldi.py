"""Kaldi archives of integer vectors: one symbol id a step, as ``ali-to-phones`` has it.

Written in Kaldi's binary format; read in binary and in text, as ``copy-int-vector``
writes them. Objects are coded by omniio, which ESPnet itself uses. Paths are opened
here: omniio takes "command |" for a program to run.
"""

from pathlib import Path
from typing import BinaryIO, Dict, Iterator, Optional, Tuple

import numpy as np

from espnet_ext.alignment.store import AlignmentSet
from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import PathLike, atomic_path, read_lines

NAME, BINARY = "alignment", b"\0B"
Places = Iterator[Tuple[str, BinaryIO]]  # id, and a file that stands before its object


def write_kaldi(alignments: AlignmentSet, folder: PathLike) -> Path:
    """Write ``alignment.ark`` and ``alignment.scp``; returns the scp."""
    vectors = {k: x.symbols.astype(np.int32) for k, x in alignments.aligned.items()}
    return write_archive(vectors, folder, NAME)


def write_archive(arrays: Dict[str, np.ndarray], folder: PathLike, name: str) -> Path:
    """Write vectors of int32 or matrices of float32 as ``<name>.ark`` and ``.scp``."""
    from omniio import kaldi

    ark, scp = (Path(folder) / f"{name}.{kind}" for kind in ("ark", "scp"))
    with atomic_path(ark) as new_ark, atomic_path(scp) as new_scp:
        with open(new_ark, "wb") as file, open(new_scp, "w", encoding="utf-8") as index:
            for key, array in arrays.items():
                offset = file.tell() + len(f"{key} ".encode())
                kaldi.save_ark(file, {key: array})
                index.write(f"{key} {ark}:{offset}\n")
    return scp


def read_kaldi(path: PathLike) -> Dict[str, np.ndarray]:
    """Symbols by utterance id, of an .scp or an .ark file.

    Raises:
        MissingInputError: It does not exist, or an archive that it names.
        FormatError: It does not hold integer vectors.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError("there is no such archive", where=path)
    places = _in_index(path) if path.suffix == ".scp" else _in_archive(path)
    return {key: _vector(file, key, path) for key, file in places}


def _in_archive(path: Path) -> Places:
    with open(path, "rb") as file:
        while (key := _key(file, path)) is not None:
            yield key, file


def _key(file: BinaryIO, path: Path) -> Optional[str]:
    """The next id of an archive; None at its end."""
    found = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        if byte != b"\n" or found:  # archives may be joined with empty lines
            found += byte
    if not found and not byte:
        return None
    key = found.decode("utf-8", "replace")
    if not byte or "\n" in key or not key:
        raise FormatError(
            f"{key[:40]!r} is not followed by a vector",
            where=path,
            expected="a Kaldi archive: UTTERANCE, a blank, a vector of integers",
        )
    return key


def _in_index(path: Path) -> Places:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        key, _, place = line.strip().partition(" ")
        archive, colon, offset = place.strip().rpartition(":")
        if not colon or not offset.isdigit():
            raise FormatError(
                f"found {place[:60]!r}",
                where=where,
                expected="UTTERANCE FILE:OFFSET; no commands, no ranges of frames",
                next_step="let Kaldi write it: copy-int-vector scp:OLD ark,scp:A,B",
            )
        try:
            file = open(archive, "rb")
        except OSError as error:
            raise MissingInputError(
                f"{archive}: {error.strerror}",
                where=where,
                next_step="start where relative paths of the index begin",
            ) from None
        with file:
            file.seek(int(offset))
            yield key, file


def _vector(file: BinaryIO, key: str, path: Path) -> np.ndarray:
    from omniio import kaldi

    try:
        if file.peek(2)[:2] == BINARY:
            values = np.asarray(kaldi.read_object(file))
        else:
            text = file.readline().decode("utf-8")
            values = np.array([int(x) for x in text.strip("[ ]\r\n").split()], np.int32)
    except (kaldi.ReadError, ValueError, OverflowError) as error:
        raise FormatError(
            f"{key} cannot be read: {error}",
            where=path,
            expected="a vector of integers in Kaldi's format, binary or text",
        ) from None
    if values.dtype.kind != "i" or values.ndim != 1:
        raise FormatError(
            f"{key} is of type {values.dtype}, {values.ndim} axes",
            where=path,
            expected="vectors of integers",
        )
    return values.astype(np.int32)
