"""Writes TensorFlow's checkpoint format as simply as can be: one block, one shard."""

import struct

import numpy as np

from espnet_ext.interop.tensor_bundle import MAGIC, masked_crc

DTYPES = {"float32": 1, "int64": 9}


def varint(number):
    result = b""
    while number >= 0x80:
        result += bytes([number & 0x7F | 0x80])
        number >>= 7
    return result + bytes([number])


def message(*fields):
    """Protocol buffer of (number, int or bytes)."""
    result = b""
    for number, value in fields:
        if isinstance(value, bytes):
            result += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            result += varint(number << 3) + varint(value)
    return result


def block(pairs):
    """Entries without shared beginnings, one restart, kind and checksum."""
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in pairs
    )
    content += struct.pack("<II", 0, 1)
    return content, content + b"\0" + struct.pack("<I", masked_crc(content + b"\0"))


def write_checkpoint(prefix, arrays):
    """``prefix.index`` and ``prefix.data-00000-of-00001``."""
    data, records = b"", {b"": message((1, 1), (2, 0))}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        shape = message(*((2, message((1, size))) for size in array.shape))
        fields = [(1, DTYPES[str(array.dtype)]), (2, shape), (4, len(data))]
        records[name.encode()] = message(*fields, (5, array.nbytes))
        data += array.tobytes()
    content, stored = block(sorted(records.items()))
    handle = varint(0) + varint(len(content))
    listed, index = block([(b"\xff", handle)])
    footer = varint(0) * 2 + varint(len(stored)) + varint(len(listed))
    footer = footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    prefix.with_name(f"{prefix.name}.index").write_bytes(stored + index + footer)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
