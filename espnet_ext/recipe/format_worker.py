"""Writes the utterances of one list as audio files: a child process of stage 3.

Called as ``python -m espnet_ext.recipe.format_worker LIST.json``. The list holds
``rate`` (Hz), ``keep_existing``, ``table`` (a file to write: utterance, number of
samples, checksum of the samples) and ``utterances``.
"""

import io
import json
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import soundfile

from espnet_ext.corpus.cuts import Cut, pcm_samples
from espnet_ext.errors import run_main
from espnet_ext.files import atomic_write, disk_full_is_a_user_error
from espnet_ext.progress import report

REPORT_INTERVAL_S = 0.5


def write_utterance(
    item: Dict[str, Any], rate: int, keep_existing: bool
) -> Tuple[int, int]:
    """Cut, resample and write one utterance.

    Args:
        item: The fields of ``corpus.cuts.Cut`` but the rate, ``id``, and ``out`` for
            the file to write.
        rate: Sampling rate of the output, Hz.
        keep_existing: Leave a whole file of an interrupted run as it is.

    Returns:
        Number of samples and their CRC-32.
    """
    out = Path(item["out"])
    pcm = _existing(out, rate) if keep_existing else None
    if pcm is None:
        cut = Cut(item["audio"], item["channel"], item["parts"], item["speed"], rate)
        pcm = pcm_samples(cut)
        _write(out, pcm, rate)
    return len(pcm), zlib.crc32(pcm.tobytes())


def _existing(path: Path, rate: int) -> Optional[np.ndarray]:
    try:
        pcm, found = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError:
        return None
    return pcm if found == rate and len(pcm) else None


def _write(path: Path, pcm: np.ndarray, rate: int) -> None:
    """Like atomic_path, but without waiting for the disk at each of many files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part{path.suffix}")
    with disk_full_is_a_user_error(path):
        try:
            # libsndfile would hide that the device is full, so Python writes the file
            encoded = io.BytesIO()
            kind = path.suffix[1:].upper()
            soundfile.write(encoded, pcm, rate, format=kind, subtype="PCM_16")
            temporary.write_bytes(encoded.getvalue())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def main(argv: List[str]) -> int:
    """Work through the list; report progress about twice a second."""
    job = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    lines, last_report = [], 0.0
    for done, item in enumerate(job["utterances"]):
        if time.monotonic() - last_report > REPORT_INTERVAL_S:
            last_report = time.monotonic()
            report(done, len(job["utterances"]))
        count, checksum = write_utterance(item, job["rate"], job["keep_existing"])
        lines.append(f"{item['id']} {count} {checksum:08x}\n")
    with atomic_write(job["table"]) as file:
        file.writelines(lines)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:])))
