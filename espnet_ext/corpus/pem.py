"""PEM partition files: which stretches of which side a NIST evaluation scores."""

from pathlib import Path
from typing import List, NamedTuple

from espnet_ext.corpus.kaldi_dir import hundredths
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines


class PemSegment(NamedTuple):
    """``call side start end``, times rounded to hundredths as those of the STM."""

    call: str
    side: str
    start_s: float
    end_s: float


def read_pem(path: Path) -> List[PemSegment]:
    """Lines ``en_4156 A unknown_speaker 301.85 302.48``; ``;;`` begins a comment.

    Raises:
        FormatError: A line has other fields.
    """
    segments = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith(";;"):
            continue
        try:
            call, side, _, start, end = line.split()
            times = hundredths(float(start)) / 100, hundredths(float(end)) / 100
        except ValueError:
            raise FormatError(
                f"found {line.strip()!r}",
                where=f"{path} line {number}",
                expected="CALL SIDE SPEAKER START END",
            ) from None
        segments.append(PemSegment(call, side.upper(), *times))
    return segments
