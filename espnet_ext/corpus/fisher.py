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

import hashlib
import math
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from espnet_ext.corpus.acronyms import spell
from espnet_ext.corpus.find import find_files
from espnet_ext.corpus.kaldi_dir import utterance_id
from espnet_ext.corpus.log import PreparationLog, progress
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


def fisher_utterances(
    transcripts: Dict[str, Path],
    profile: Profile,
    mode: str = "lm",
    log: Optional[PreparationLog] = None,
) -> Iterator[Tuple[str, str]]:
    """Id (``fe_03_00001-A_000738-000878``) and words of all lines with words.

    Each id comes once. A line that stands twice in its call, and a call that is a copy
    of another one under another number, are left out; two different lines of the same
    times get ids that end in ``-2`` and so on. The log names all of them.
    """
    log = PreparationLog() if log is None else log
    calls: Dict[bytes, str] = {}
    for path in progress(transcripts.values(), "Fisher transcripts"):
        call, lines = path.stem.lower(), read_transcript(path)
        content = hashlib.sha256(repr(lines).encode()).digest()
        original = calls.setdefault(content, call)
        if original != call and lines:
            log.drop(call, "copy of another call", original)
            continue
        used: Dict[str, int] = {}
        seen = set()
        for line in lines:
            name = utterance_id(f"{call}-{line.side}", line.start_s, line.end_s)
            if line in seen:
                log.drop(name, "the same line twice in a call", line.text)
                continue
            seen.add(line)
            words = plain_words(line.text, profile, mode)
            if words is None:
                log.counts["no words" if mode == "lm" else "unsure or no words"] += 1
                continue
            used[name] = used.get(name, 0) + 1
            if used[name] > 1:
                log.change(name, "another line of the same times", words)
                name = f"{name}-{used[name]}"
            yield name, words
