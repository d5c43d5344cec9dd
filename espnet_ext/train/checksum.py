"""The checksum at the end of a checkpoint; needs no torch.

It is the SHA-256 of the archive without its comment, and stands in the comment.
"""

import hashlib
import os
from typing import Optional

from espnet_ext.files import PathLike

NEWEST = "checkpoint.pth"  # ESPnet's name
PREVIOUS = "checkpoint.previous.pth"
PREFIX = b"sha256:"
COMMENT_BYTES = len(PREFIX) + 64
CHUNK_BYTES = 1 << 22


def damage(path: PathLike) -> Optional[str]:
    """What is wrong with a stored file, None if its checksum is right."""
    size = os.path.getsize(path)
    tail_bytes = COMMENT_BYTES + 2
    if size <= tail_bytes:
        return f"only {size} bytes"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = size - tail_bytes
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            digest.update(chunk)
            left -= len(chunk)
        tail = file.read()
    digest.update(b"\0\0")
    if tail[2 : 2 + len(PREFIX)] != PREFIX:
        return "it has no checksum at its end"
    if tail[2 + len(PREFIX) :] != digest.hexdigest().encode("ascii"):
        return "its checksum does not fit its content"
    return None
