"""CTM files of labels and of words.

``UTTERANCE 1 START DURATION TOKEN`` in seconds from the start of the utterance. Label
files can be read back: comment lines (``;; UTTERANCE frames N``) keep the lengths, and
times have as many decimals as it takes to tell frames apart.
"""

from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from espnet_ext.alignment.paths import Run, symbols_of
from espnet_ext.alignment.store import Aligned, AlignmentInfo, AlignmentSet
from espnet_ext.alignment.words import Word, words_of
from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike, atomic_write, read_lines

CHANNEL, COMMENT, FRAMES, SHIFT = "1", ";;", "frames", "frame_shift_s"


def words_of_utterance(
    entry: Aligned, info: AlignmentInfo, spoken: Optional[Sequence[str]] = None
) -> List[Word]:
    """The words of an alignment with their times."""
    tokens = [info.tokens[label] for label in entry.labels.tolist()]
    return words_of(tokens, entry.times(info), info.frame_shift_s, info.units, spoken)


def write_label_ctm(alignments: AlignmentSet, path: PathLike) -> None:
    """Write the stretches of all labels."""
    info = alignments.info
    with atomic_write(path) as file:
        file.write(f"{COMMENT} {SHIFT} {info.frame_shift_s!r}\n")
        for key, entry in alignments.aligned.items():
            file.write(f"{COMMENT} {key} {FRAMES} {entry.frames}\n")
            for run in entry.runs(info):
                _line(
                    *(file, key, run.start * info.frame_shift_s),
                    *(run.end * info.frame_shift_s, info.tokens[run.label]),
                )


def write_word_ctm(
    alignments: AlignmentSet,
    path: PathLike,
    spoken: Optional[Mapping[str, Sequence[str]]] = None,
) -> None:
    """Write the words; ``spoken`` has the words of each utterance as they are written.

    It is needed only where the labels do not show how a word is written; without it a
    word of phonemes is these with ``_`` between them, as a blank would end the field.
    """
    with atomic_write(path) as file:
        for key, entry in alignments.aligned.items():
            given = None if spoken is None else spoken.get(key)
            for word in words_of_utterance(entry, alignments.info, given):
                text = word.text.replace(" ", "_")
                _line(file, key, word.start_s, word.end_s, text)


def _line(file, key: str, start_s: float, end_s: float, text: str) -> None:
    file.write(f"{key} {CHANNEL} {start_s:.6f} {end_s - start_s:.6f} {text}\n")


def read_label_ctm(path: PathLike, info: AlignmentInfo) -> Dict[str, np.ndarray]:
    """Symbols by utterance id.

    Raises:
        FormatError: A line is not as ``write_label_ctm`` writes it, or a token is
            unknown.
    """
    ids = {token: number for number, token in enumerate(info.tokens)}
    frames: Dict[str, int] = {}
    stretches: Dict[str, List[Run]] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        where = f"{path} line {number}"
        if not fields:
            continue
        if fields[0] == COMMENT:
            if len(fields) == 4 and fields[2] == FRAMES:
                frames[fields[1]], stretches[fields[1]] = int(fields[3]), []
            if fields[1] == SHIFT and float(fields[2]) != info.frame_shift_s:
                raise FormatError(
                    f"a frame shift of {fields[2]} s",
                    where=where,
                    expected=f"that of the alignment, {info.frame_shift_s} s",
                )
            continue
        try:
            key, _, start, duration, token = fields[:5]
            begin, length = float(start), float(duration)
        except ValueError:
            raise FormatError(
                f"found {line!r}", where=where, expected="UTTERANCE 1 START DURATION X"
            ) from None
        if token not in ids:
            raise FormatError(f"token {token!r} is unknown", where=where)
        if key not in frames:
            raise FormatError(
                f"the number of frames of {key} is not given",
                where=where,
                expected=f"{COMMENT} {key} {FRAMES} N before its first line",
            )
        times = (begin / info.frame_shift_s, (begin + length) / info.frame_shift_s)
        stretches[key].append(Run(ids[token], *times))
    return {
        key: symbols_of(runs, frames[key], info.rules, info.blank)
        for key, runs in stretches.items()
    }
