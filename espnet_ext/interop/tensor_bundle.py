"""Reads TensorFlow's checkpoints (version 2, "tensor bundle") without TensorFlow.

A checkpoint ``epoch.150`` is ``epoch.150.index``, a sorted table in the format of
LevelDB from tensor names to small records, and ``epoch.150.data-00000-of-00001``, the
raw values. A table is a list of blocks, each with a checksum; its last block lists the
others. Records are protocol buffers: (number, value) pairs.

Ref: LevelDB doc/table_format.md; tensorflow/core/protobuf/tensor_bundle.proto.
"""

import struct
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

import numpy as np

from espnet_ext.errors import FormatError, MissingInputError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two block handles, padded, and the magic number
TRAILER = 5  # behind each block: kind of compression, checksum
DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}


class Entry(NamedTuple):
    """Where a tensor is."""

    dtype: int
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int


def _crc_table() -> List[int]:
    """CRC-32C (Castagnoli), one byte at a time."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC = _crc_table()


def masked_crc(data: bytes) -> int:
    """The checksum as LevelDB stores it: rotated, with a constant added."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    """(number, value) pairs of a protocol buffer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        value: Union[int, bytes]
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            length = {1: 8, 5: 4}[kind]
            value, at = int.from_bytes(data[at : at + length], "little"), at + length
        yield key >> 3, value


def _shape(data: bytes) -> Tuple[int, ...]:
    sizes = []
    for number, dimension in _fields(data):
        if number == 2:
            sizes.append(dict(_fields(dimension)).get(1, 0))
    return tuple(sizes)


def _entry(data: bytes) -> Entry:
    fields = dict(_fields(data))
    if 7 in fields:
        raise FormatError("a tensor is stored in slices", expected="whole tensors")
    shape = _shape(fields.get(2, b""))
    return Entry(
        fields.get(1, 0), shape, *(fields.get(number, 0) for number in (3, 4, 5))
    )


def _block(data: bytes, handle: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """(key, value) pairs of the block that a handle (offset, size) points to."""
    offset, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    block = data[offset : offset + size]
    compression, crc = struct.unpack_from("<BI", data, offset + size)
    if masked_crc(data[offset : offset + size + 1]) != crc:
        raise FormatError("a block has a wrong checksum", expected="an intact file")
    if compression:
        raise FormatError("a block is compressed", expected="TensorFlow's default: not")
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    end = size - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key, block[at : at + length]
        at += length


def _table(data: bytes) -> Dict[str, bytes]:
    """All records of an index file."""
    if len(data) < FOOTER or data[-8:] != MAGIC.to_bytes(8, "little"):
        raise FormatError("is no table of tensors", expected="a checkpoint's .index")
    footer = data[-FOOTER:]
    at = 0
    for _ in range(2):  # the handle of an unused block stands before that of the list
        _, at = _varint(footer, at)
    return {
        key.decode("utf-8"): value
        for _, handle in _block(data, footer[at:])
        for key, value in _block(data, handle)
    }


def checkpoint_prefix(path: Union[str, Path]) -> Path:
    """``epoch.150`` of that, of ``epoch.150.index``, or of a data file."""
    name = Path(path).name
    for end in (".index", ".meta"):
        name = name.removesuffix(end)
    return Path(path).with_name(name.split(".data-")[0])


def read_checkpoint(path: Union[str, Path]) -> Dict[str, np.ndarray]:
    """All numeric tensors of a checkpoint by name; others (strings) are left out.

    Raises:
        MissingInputError: A file of the checkpoint does not exist.
        FormatError: It is damaged, or of a form that is not supported.
    """
    prefix = checkpoint_prefix(path)
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        records = _table(index.read_bytes())
        header = dict(_fields(records.pop("", b"")))
        shards = header.get(1, 0)
        if header.get(2, 0):
            raise FormatError("values are big-endian", expected="little-endian")
        files = [
            prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{shards:05d}")
            for i in range(shards)
        ]
        return _read_tensors(records, files)
    except FileNotFoundError as error:
        raise MissingInputError(
            "a file of the checkpoint does not exist", where=error.filename
        ) from None
    except FormatError as error:
        raise FormatError(error.found, where=index, expected=error.expected) from None
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise FormatError(
            f"cannot be read as a checkpoint ({type(error).__name__})", where=index
        ) from None


def _read_tensors(
    records: Dict[str, bytes], files: List[Path]
) -> Dict[str, np.ndarray]:
    data = [np.memmap(file, dtype=np.uint8, mode="r") for file in files]
    tensors = {}
    for name, record in records.items():
        entry = _entry(record)
        if entry.dtype not in DTYPES:
            continue
        raw = data[entry.shard][entry.offset : entry.offset + entry.size]
        dtype = np.dtype(DTYPES[entry.dtype])
        wanted = int(np.prod(entry.shape, dtype=np.int64)) * dtype.itemsize
        if raw.size != wanted or entry.size != wanted:
            raise FormatError(
                f"tensor {name} has {raw.size} bytes", expected=f"{wanted} bytes"
            )
        tensors[name] = np.array(raw).view(dtype).reshape(entry.shape)
    return tensors
