"""NIST SPHERE headers: what a .sph file says about itself, and whether that is true.

Switchboard-1 release 1 counts the samples of both channels in ``sample_count`` and
calls the coding ``mu-law``; release 2 counts one channel and says ``ulaw``. Both are
accepted, and the length always comes from the size of the file.

Ref: NIST Speech Header Resources, header format ``NIST_1A``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Union

from espnet_ext.errors import AudioError, MissingInputError

MAGIC = b"NIST_1A"
CODINGS = {
    "ulaw": "ULAW",
    "mu-law": "ULAW",
    "mulaw": "ULAW",
    "alaw": "ALAW",
    "a-law": "ALAW",
    "pcm": "PCM",
}
RELEASE_1_CODING = "mu-law"
# a release-1 count is exact up to the padding of the last block
PADDING_BYTES = 1024
FETCH_AGAIN = "copy or download the file again and compare its size with the release"


@dataclass(frozen=True)
class SphereHeader:
    """The facts needed to read samples.

    Attributes:
        rate: Samples per second.
        channels: 1 or 2 in the corpora used here.
        coding: ULAW, ALAW or PCM.
        sample_bytes: Bytes of one sample of one channel.
        big_endian: Byte order of PCM.
        header_bytes: Where the samples begin.
        samples: Samples per channel that are in the file (for shorten: as declared).
        compression: None or ``shorten``.
        fields: All header fields as text.
    """

    rate: int
    channels: int
    coding: str
    sample_bytes: int
    big_endian: bool
    header_bytes: int
    samples: int
    compression: Optional[str]
    fields: Dict[str, str]


def read_header(path: Union[str, Path]) -> SphereHeader:
    """Parse the header and compare it with the size of the file.

    Raises:
        MissingInputError: No such file.
        AudioError: Not SPHERE, a field is missing or unknown, or samples are missing.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            fields, header_bytes = _read_fields(file, path)
    except FileNotFoundError:
        raise MissingInputError("audio file not found", where=path) from None
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}", where=path) from None

    coding, _, embedded = fields.get("sample_coding", "pcm").lower().partition(",")
    if coding not in CODINGS:
        raise AudioError(
            f"unknown sample_coding {coding!r}",
            where=path,
            expected=", ".join(sorted(CODINGS)),
            next_step="convert the file to 16-bit WAV",
        )
    if embedded and "shorten" not in embedded:
        raise AudioError(
            f"unknown compression {embedded!r}",
            where=path,
            expected="none or embedded-shorten",
            next_step="convert the file to 16-bit WAV",
        )
    channels = _whole_number(fields, "channel_count", path, default=1)
    sample_bytes = _whole_number(
        fields, "sample_n_bytes", path, default=2 if coding == "pcm" else 1
    )
    declared = _whole_number(fields, "sample_count", path, default=0, minimum=0)
    header = SphereHeader(
        rate=_whole_number(fields, "sample_rate", path),
        channels=channels,
        coding=CODINGS[coding],
        sample_bytes=sample_bytes,
        big_endian=fields.get("sample_byte_format", "01") == "10",
        header_bytes=header_bytes,
        samples=declared,
        compression="shorten" if embedded else None,
        fields=fields,
    )
    if header.compression is None:
        samples = _samples_in_file(header, declared, size - header_bytes, path)
        header = SphereHeader(**{**header.__dict__, "samples": samples})
    if header.samples == 0:
        raise AudioError("holds no samples", where=path, next_step=FETCH_AGAIN)
    return header


def _read_fields(file, path: Path):
    head = file.read(16)
    try:
        magic, size_text = head.split(b"\n")[:2]
        header_bytes = int(size_text)
        if magic.strip() != MAGIC or header_bytes < 16:
            raise ValueError
    except ValueError:
        raise AudioError(
            f"is not a SPHERE file (it begins with {head[:12]!r})",
            where=path,
            expected="NIST_1A",
            next_step=FETCH_AGAIN,
        ) from None
    head += file.read(header_bytes - 16)
    text, end, _ = head.partition(b"end_head")
    if not end:
        raise AudioError(
            "the SPHERE header has no end", where=path, next_step=FETCH_AGAIN
        )
    fields = {}
    for line in text.decode("latin-1").splitlines()[2:]:
        parts = line.split(None, 2)  # name, type (-i, -r, -sN), value
        if len(parts) == 3 and parts[1].startswith("-"):
            fields[parts[0]] = parts[2].strip()
    return fields, header_bytes


def _whole_number(
    fields: Dict[str, str],
    name: str,
    path: Path,
    default: Optional[int] = None,
    minimum: int = 1,
) -> int:
    if name not in fields and default is not None:
        return default
    try:
        value = int(fields[name])
        if value < minimum:
            raise ValueError
    except (KeyError, ValueError):
        raise AudioError(
            f"SPHERE header field {name} is {fields.get(name, 'missing')}",
            where=path,
            expected=f"a whole number of at least {minimum}",
            next_step=FETCH_AGAIN,
        ) from None
    return value


def _samples_in_file(
    header: SphereHeader, declared: int, data_bytes: int, path: Path
) -> int:
    """Samples per channel in the file; an error if the header promises more."""
    frame_bytes = header.channels * header.sample_bytes
    present = max(data_bytes, 0) // frame_bytes
    if present >= declared:
        return present
    # only release 1 writes the name so; half a file of release 2 has the same size
    release_1 = header.fields.get("sample_coding", "").lower() == RELEASE_1_CODING
    both_channels_counted = declared * header.sample_bytes
    if release_1 and abs(both_channels_counted - data_bytes) <= PADDING_BYTES:
        return present
    raise AudioError(
        f"truncated: {present} samples per channel in the file",
        where=path,
        expected=f"{declared}, as its header says",
        next_step=FETCH_AGAIN,
    )
