"""Hypotheses as a CTM: words with times, without what no reference should contain.

Where a decoding wrote ``word_times`` (time-synchronous searches), words have the times
of the frames that emitted them, and posteriors. Otherwise, and in scoring, as in the
original, they are spread evenly over the first 90 % of their segment.

Letters that training wrote as one word (``u._s.``) become the words of the reference
(``u. s.``). Two named rules say what is left out besides noise tags and ``<unk>``:

- ``kaldi`` (default; Kaldi's and ESPnet's recipes): hesitations and partial words. A
  hesitation is optional in the reference, so one in the hypothesis could only count as
  an insertion.
- ``rwth`` (the original experiments): nothing more.

Ref: RWTH's switchboard_2020 setup (0.9 of the segment, confidence 0.99, only ``[...]``
dropped, reference/data.md section 6); Kaldi egs/swbd/s5c/local/score.sh.
"""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Union

from espnet_ext.analysis.kaldi_text import (
    Place,
    read_hypotheses,
    read_segments,
    read_sides,
    read_table,
)
from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_write

PathLike = Union[str, Path]
SPREAD = 0.9
CONFIDENCE = 0.99
HESITATIONS = frozenset(
    "uh um eh mm hm ah huh ha er oof hee ach eee ew %hesitation".split()
)
WORD_RULES = ("kaldi", "rwth")
_LETTERS = re.compile(r"(?:[a-z]\._)+[a-z]\.(?:'?s)?", re.IGNORECASE)


class CtmWord(NamedTuple):
    """One word: recording file, channel, start and duration in seconds, confidence."""

    file: str
    channel: str
    start: float
    duration: float
    word: str
    confidence: float = CONFIDENCE


def is_scored(word: str, rules: str = "kaldi") -> bool:
    """Whether a hypothesis word goes into the CTM at all, by one of WORD_RULES."""
    word = word.lower()
    if word[0] + word[-1] in ("[]", "<>"):
        return False  # [noise], [laughter], [vocalized-noise], <unk>
    return rules == "rwth" or word not in HESITATIONS and not word.endswith("-")


def split_letters(text: str) -> List[str]:
    """The words of a text, with ``t._v.s`` as ``t.`` ``v.s``."""
    return [
        part
        for word in text.split()
        for part in (word.split("_") if _LETTERS.fullmatch(word) else [word])
    ]


def spread_words(words: List[str], place: Place, file: str, channel: str):
    """Give each word an equal share of the segment's first 90 %."""
    if not words:
        return []
    each = SPREAD * (place.end - place.start) / len(words)
    return [
        CtmWord(file, channel, place.start + index * each, each, word)
        for index, word in enumerate(words)
    ]


def timed_words(text: str, times: str, place: Place, file: str, channel: str):
    """Words with their own times; letters that were one word share its time.

    Args:
        text: Words of the hypothesis.
        times: ``start,duration,confidence`` of each, in seconds from its segment.

    Raises:
        ValueError: There are more or fewer times than words, or they are no numbers.
    """
    words, values = text.split(), times.split()
    if len(words) != len(values):
        raise ValueError(f"{len(words)} words, {len(values)} times")
    result = []
    for word, value in zip(words, values):
        start, duration, confidence = map(float, value.split(","))
        parts = split_letters(word)
        each = duration / len(parts)
        result += [
            CtmWord(
                file, channel, place.start + start + n * each, each, part, confidence
            )
            for n, part in enumerate(parts)
        ]
    return result


def make_ctm(
    data_dir: PathLike,
    hypotheses: PathLike,
    rules: str = "kaldi",
    times: Optional[PathLike] = None,
) -> List[CtmWord]:
    """The CTM of a decoded set.

    Args:
        data_dir: Has segments (without: each recording is an utterance) and, unless
            recordings are called ``file-A``, reco2file_and_channel.
        hypotheses: File ``utterance-id words...`` for every line of segments.
        rules: One of WORD_RULES.
        times: File ``word_times`` of the decoding, or None to spread words evenly.

    Returns:
        Words in the order of file, channel and time.

    Raises:
        CoverageError: Hypotheses are missing or superfluous.
        FormatError: A recording has no file and channel; words lack their times.
    """
    data_dir = Path(data_dir)
    places = places_of(data_dir)
    texts = read_hypotheses(hypotheses, places)
    sides_path = data_dir / "reco2file_and_channel"
    sides: Dict = read_sides(sides_path) if sides_path.exists() else {}
    spoken = read_table(times) if times is not None else None
    words: List[CtmWord] = []
    for utterance, place in places.items():
        side = sides.get(place.recording) or _side_of_name(place.recording)
        if side is None:
            raise FormatError(
                f"recording {place.recording} has no file and channel",
                where=sides_path,
                expected="a line RECORDING FILE CHANNEL for each recording",
            )
        if spoken is None:
            words.extend(spread_words(split_letters(texts[utterance]), place, *side))
            continue
        try:
            given = spoken.get(utterance, "")
            words.extend(timed_words(texts[utterance], given, place, *side))
        except ValueError as error:
            raise FormatError(f"{utterance}: {error}", where=times) from None
    words = [word for word in words if is_scored(word.word, rules)]
    words.sort(key=lambda word: word[:3])
    return words


def places_of(data_dir: Path) -> Dict[str, Place]:
    """Place of each utterance; the audio tells where one without an end ends."""
    segments = data_dir / "segments"
    places = read_segments(segments) if segments.exists() else {}
    if places and all(place.end is not None for place in places.values()):
        return places
    from espnet_ext.corpus.audio import audio_info
    from espnet_ext.corpus.kaldi_dir import read_data_dir

    def end(utterance) -> float:
        if utterance.end_s is not None:
            return utterance.end_s
        return audio_info(utterance.audio_path).duration_s

    return {
        u.utterance_id: Place(u.recording_id, u.start_s, end(u))
        for u in read_data_dir(data_dir)
    }


def _side_of_name(recording: str):
    file, dash, channel = recording.rpartition("-")
    return (file, channel) if dash and channel in ("A", "B") else None


def write_ctm(words: List[CtmWord], path: PathLike) -> None:
    """Write ``FILE CHANNEL START DURATION WORD CONFIDENCE`` lines."""
    with atomic_write(path) as file:
        for word in words:
            file.write(
                f"{word.file} {word.channel} {word.start:.3f} {word.duration:.3f} "
                f"{word.word} {word.confidence:g}\n"
            )
