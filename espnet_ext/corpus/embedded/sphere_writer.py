"""Writes two-channel mu-law SPHERE files with the headers of both Switchboard releases.

Ref: NIST Speech Header Resources, header format ``NIST_1A``.
"""

from pathlib import Path
from typing import Dict, Union

import numpy as np

from espnet_ext.corpus.embedded.timeline import RATE

HEADER_BYTES = 1024


def write_sphere(
    path: Path,
    codes: np.ndarray,
    fields: Dict[str, Union[str, int]],
    release_1: bool = False,
) -> None:
    """Write mu-law codes.

    Args:
        path: The file.
        codes: uint8 [samples, channels].
        fields: Header fields that go first, such as ``conversation_id``.
        release_1: Call the coding ``mu-law`` and count the samples of all channels, as
            the first release of Switchboard-1 did.
    """
    samples, channels = codes.shape
    header = {
        **fields,
        "channel_count": channels,
        "sample_rate": RATE,
        "sample_count": samples * channels if release_1 else samples,
        "sample_n_bytes": 1,
        "sample_sig_bits": 8,
        "sample_coding": "mu-law" if release_1 else "ulaw",
        "channels_interleaved": "TRUE",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(sphere_header(header))
        file.write(np.ascontiguousarray(codes).tobytes())


def sphere_header(fields: Dict[str, Union[str, int]]) -> bytes:
    """A 1,024-byte header with these fields in this order."""
    lines = ["NIST_1A", f"{HEADER_BYTES:7d}"]
    for name, value in fields.items():
        kind = "-i" if isinstance(value, int) else f"-s{len(value)}"
        lines.append(f"{name} {kind} {value}")
    text = "\n".join([*lines, "end_head", ""]).encode("ascii")
    if len(text) > HEADER_BYTES:
        raise ValueError(f"SPHERE header of {len(text)} bytes")
    return text.ljust(HEADER_BYTES)
