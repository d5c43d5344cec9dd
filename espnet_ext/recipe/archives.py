"""Audio in Kaldi archives (``FILE.ark:OFFSET``), unpacked into files of its own.

ESPnet's recipes dump ``flac.ark``, Kaldi's ``wav-copy`` writes ``wav.ark``. Both are
read by omniio, which ESPnet installs (kaldiio has an evaluation-only licence). Files
are FLAC with as many bits as the archive gives, so that no sample changes.
"""

import re
from pathlib import Path
from typing import Optional, Tuple

from espnet_ext.errors import AudioError, MissingInputError
from espnet_ext.files import atomic_path

ENTRY = re.compile(r"(?P<file>.+\.ark):(?P<offset>\d+)")


def archive_of(entry: str) -> Optional[Tuple[str, int]]:
    """File and offset of an entry that lies in an archive; None for other entries."""
    found = ENTRY.fullmatch(entry)
    return (found["file"], int(found["offset"])) if found else None


def unpack(entry: str, target: Path) -> None:
    """Write the audio of one entry to a FLAC file.

    Raises:
        MissingInputError: There is no such archive.
        AudioError: There is no audio at that place.
    """
    import numpy as np
    import soundfile
    from omniio.tools import kaldi

    file, offset = archive_of(entry) or (entry, 0)
    try:
        with open(file, "rb") as archive:  # by itself omniio would run "command |"
            archive.seek(offset)
            content = kaldi.read_object(archive)
    except FileNotFoundError:
        raise MissingInputError("archive not found", where=entry) from None
    except (kaldi.ReadError, soundfile.LibsndfileError, ValueError, OSError) as error:
        raise AudioError(f"cannot be read: {error}", where=entry) from None
    if not isinstance(content, tuple):
        raise AudioError("holds features, not audio", where=entry)
    rate, samples = content
    if len(samples) == 0:
        raise AudioError("holds no samples", where=entry)
    subtype = "PCM_16" if samples.dtype == np.int16 else "PCM_24"
    with atomic_path(target) as temporary:
        soundfile.write(temporary, samples, rate, subtype=subtype, format="FLAC")
