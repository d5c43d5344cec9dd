"""Damage to a finished corpus, one kind at a time, to test that it is noticed.

Each function takes the root of a built tree, damages one place, and returns the path
that a good error message would name. Work on a copy.
"""

import os
import shutil
from pathlib import Path
from typing import Callable, Dict

from espnet_ext.corpus.embedded import evaluation, switchboard
from espnet_ext.corpus.embedded.sphere_writer import HEADER_BYTES
from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

FAULTS: Dict[str, Callable[[Path], Path]] = {}
VICTIM = "sw02001"  # the call most faults strike


def inject(name: str, root: Path) -> Path:
    """Damage the tree in the way ``name`` says; see FAULTS for the names.

    Raises:
        OptionError: No such fault.
    """
    if name not in FAULTS:
        raise OptionError(
            f"unknown fault {name!r}",
            expected=", ".join(FAULTS),
            next_step=f"{nearest(name, FAULTS) or 'one of these'}",
        )
    return FAULTS[name](Path(root))


def fault(function: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Register a function under its own name."""
    FAULTS[function.__name__] = function
    return function


def audio_of(root: Path, call: str = VICTIM) -> Path:
    """The audio file of a Switchboard call."""
    matches = sorted((root / switchboard.ROOT).glob(f"swb1_d*/data/{call}.[sS]*"))
    return matches[0]


def transcript_of(root: Path, side: str = "A", call: str = VICTIM) -> Path:
    """The transcript of one side of a Switchboard call."""
    number = call[-4:]
    folder = root / switchboard.TRANSCRIPTS / number[:2] / number
    return folder / f"sw{number}{side}-ms98-a-trans.text"


def hub5_00_stm(root: Path) -> Path:
    """The reference of hub5e_00."""
    return root / evaluation.HUB5_00_TEXT / "hub5e00.english.000405.stm"


@fault
def truncated_audio(root: Path) -> Path:
    """The second half of a file is gone, as after an interrupted copy."""
    path = audio_of(root)
    os.truncate(path, HEADER_BYTES + (path.stat().st_size - HEADER_BYTES) // 2)
    return path


@fault
def truncated_header(root: Path) -> Path:
    """Only the beginning of the header is left."""
    path = audio_of(root)
    os.truncate(path, 200)
    return path


@fault
def empty_audio(root: Path) -> Path:
    """A file of no bytes."""
    path = audio_of(root)
    os.truncate(path, 0)
    return path


@fault
def shorten_header(root: Path) -> Path:
    """The header says that the samples are shorten-compressed."""
    path = audio_of(root)
    data = path.read_bytes()
    coding = "ulaw,embedded-shorten-v2.00"
    header = data[:HEADER_BYTES].replace(
        b"sample_coding -s4 ulaw", f"sample_coding -s{len(coding)} {coding}".encode()
    )
    header = header.rstrip(b" ").ljust(HEADER_BYTES)
    path.write_bytes(header + data[HEADER_BYTES:])
    return path


@fault
def web_page_as_audio(root: Path) -> Path:
    """What a download without permission leaves: an HTML page named .sph."""
    path = audio_of(root)
    page = "<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>\n"
    path.write_text(page, encoding="utf-8")
    return path


@fault
def audio_missing(root: Path) -> Path:
    """A transcript without audio; returns the absent audio file."""
    path = audio_of(root)
    path.unlink()
    return path


@fault
def transcript_missing(root: Path) -> Path:
    """Audio without the transcript of side A; returns the absent transcript."""
    path = transcript_of(root)
    path.unlink()
    return path


@fault
def empty_transcript(root: Path) -> Path:
    """A transcript of no bytes."""
    path = transcript_of(root)
    path.write_text("", encoding="utf-8")
    return path


@fault
def broken_transcript_line(root: Path) -> Path:
    """A line whose start time is a word."""
    return _change_line(transcript_of(root), 2, lambda fields: [fields[0], "soon"])


@fault
def segment_past_the_end(root: Path) -> Path:
    """The last segment ends ten seconds after the audio."""
    path = transcript_of(root)
    last = len(path.read_text(encoding="utf-8").splitlines())
    return _change_line(
        path,
        last,
        lambda fields: [*fields[:2], f"{float(fields[2]) + 10:.6f}", "yeah"],
    )


@fault
def segment_backwards(root: Path) -> Path:
    """A segment that ends before it begins."""
    return _change_line(
        transcript_of(root),
        2,
        lambda fields: [fields[0], fields[2], fields[1], *fields[3:]],
    )


@fault
def transcript_not_utf8(root: Path) -> Path:
    """A transcript with a byte that no UTF-8 text has."""
    path = transcript_of(root)
    path.write_bytes(path.read_bytes() + b"sw2001A-ms98-a-9999 1 2 caf\xe9\n")
    return path


@fault
def dictionary_missing(root: Path) -> Path:
    """No dictionary, so acronyms cannot be told from words."""
    path = root / switchboard.TRANSCRIPTS / "sw-ms98-dict.text"
    path.unlink()
    return path


@fault
def audio_folder_missing(root: Path) -> Path:
    """The whole folder of the hub5e_00 audio is gone."""
    path = root / "LDC2002S09"
    shutil.rmtree(path)
    return path


@fault
def dangling_link(root: Path) -> Path:
    """The linked disk points nowhere."""
    shutil.rmtree(root / switchboard.LINK_TARGET)
    return root / switchboard.ROOT / switchboard.LINKED_DISK


@fault
def stm_empty(root: Path) -> Path:
    """A reference of no bytes."""
    path = hub5_00_stm(root)
    path.write_text("", encoding="utf-8")
    return path


@fault
def stm_broken_line(root: Path) -> Path:
    """A reference line without times."""
    path = hub5_00_stm(root)
    with open(path, "a", encoding="utf-8") as file:
        file.write("sw_4401 A sw_4401_A\n")
    return path


@fault
def stm_undefined_label(root: Path) -> Path:
    """A label that the header does not define; sclite stops at it."""
    path = hub5_00_stm(root)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<O,sw,", "<O,xx,"), encoding="utf-8")
    return path


@fault
def glm_missing(root: Path) -> Path:
    """No mapping file for hub5e_00."""
    path = root / evaluation.HUB5_00_TEXT / evaluation.HUB5_00_GLM
    path.unlink()
    return path


def _change_line(path: Path, number: int, change) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = " ".join(change(lines[number - 1].split(" ", 3)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
