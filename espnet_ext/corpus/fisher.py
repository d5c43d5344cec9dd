"""Fisher English transcripts (LDC2004T19, LDC2005T19) as text for language models.

===========================  =====================  ==========================
found                        ``lm``                 ``acoustic``
===========================  =====================  ==========================
``(( unsure words ))``       words kept             line dropped
``<german (( ja wohl )) >``  dropped                line dropped
``[laugh]`` ``[[skip]]``     dropped                dropped
``*mandatory``               ``mandatory``          the same
``u._s.`` ``i.b.m.``         letters, by profile    the same
``an-`` ``'cause``           kept                   kept
``--``                       dropped                dropped
===========================  =====================  ==========================
"""

import math
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from espnet_ext.corpus.acronyms import spell
from espnet_ext.corpus.find import find_files
from espnet_ext.corpus.log import progress
from espnet_ext.corpus.ms98 import Profile
from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import read_lines

MODES = ("lm", "acoustic")
FOREIGN = re.compile(r"<[^<>]*>?")
TAG = re.compile(r"\[\[?[^][]*\]?\]")
SPELLED = re.compile(r"^((?:[a-z]\._?)+)('?s)?$")
MARKED = re.compile(r"[^A-Za-z' ]|  ")
# (call, start, end) as printed, and the start it should be
KNOWN_WRONG_STARTS: Dict[Tuple[str, float, float], float] = {
    ("fe_03_11487", 31.09, 234.06): 231.09
}


class FisherLine(NamedTuple):
    """One line of a transcript; times in seconds, side A or B."""

    start_s: float
    end_s: float
    side: str
    text: str


def find_transcripts(roots: Iterable[Path]) -> Dict[str, Path]:
    """Transcript by call, over all parts; a call found twice is taken once.

    Raises:
        MissingInputError: A part holds no transcript.
    """
    transcripts: Dict[str, Path] = {}
    for root in roots:
        found = find_files(root, ["fe_03_[0-9]*.txt"])
        if not found:
            raise MissingInputError(
                "no Fisher transcripts",
                where=root,
                expected="files like data/trans/000/fe_03_00001.txt",
                next_step="correct FISHER1 and FISHER2 in db.sh",
            )
        for path in found:
            transcripts.setdefault(path.stem.lower(), path)
    return dict(sorted(transcripts.items()))


def read_transcript(path: Path) -> List[FisherLine]:
    """Lines ``7.38 8.78 A: words``; ``#`` lines and empty lines are skipped.

    Raises:
        FormatError: A line has other fields.
    """
    lines = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        head, colon, text = line.partition(":")
        try:
            start, end, side = head.split()
            start_s, end_s = float(start), float(end)
            if not colon or not 0 <= start_s or not end_s < math.inf:
                raise ValueError
        except ValueError:
            raise FormatError(
                f"found {line.strip()[:80]!r}",
                where=f"{path} line {number}",
                expected="START END SIDE: WORDS",
                next_step="copy the transcript file again",
            ) from None
        start_s = KNOWN_WRONG_STARTS.get((path.stem, start_s, end_s), start_s)
        lines.append(FisherLine(start_s, end_s, side.upper(), text.strip()))
    return lines


def plain_words(text: str, profile: Profile, mode: str = "lm") -> Optional[str]:
    """Words of a line by the table above, or None if the line is to be dropped."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}; expected one of {MODES}")
    if mode == "acoustic" and ("((" in text or "<" in text):
        return None
    if not MARKED.search(text):  # most lines
        return text.lower() or None
    text = FOREIGN.sub(" ", text.lower())
    text = TAG.sub(" ", text).replace("((", " ").replace("))", " ").replace("*", " ")
    words: List[str] = []
    for token in text.split():
        spelled = SPELLED.match(token)
        if spelled:
            letters = re.findall("[a-z]", spelled.group(1))
            letters[-1] += spelled.group(2) or ""
            words += spell(letters, profile.acronyms, profile.ampersand)
        elif token.strip("-"):
            words.append(token)
    return " ".join(words) or None


def fisher_sentences(
    transcripts: Dict[str, Path], profile: Profile, mode: str = "lm"
) -> Iterator[str]:
    """All lines with words, call by call."""
    for path in progress(transcripts.values(), "Fisher transcripts"):
        for line in read_transcript(path):
            words = plain_words(line.text, profile, mode)
            if words is not None:
                yield words
