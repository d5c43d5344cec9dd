"""The tree of LDC97S62: audio on four disks, tables, MS98 transcripts, dictionary."""

import os
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

from espnet_ext.corpus.embedded.timeline import PlacedCall, Segment, seconds
from espnet_ext.corpus.embedded.tokens import Token, ms98_text

ROOT = "LDC97S62"
TRANSCRIPTS = f"{ROOT}/transcriptions/swb_ms98_transcriptions"
SELECTION_LIST = f"{ROOT}/docs/selection_conversations.txt"
DISKS = 4
# the folder of this disk is a link to somewhere else, as on many sites
LINKED_DISK, LINK_TARGET = "swb1_d3", "disks/swb1_d3"
RELEASE_1_CALL = "sw02005"  # header of the first release; not in the table of calls
UPPER_CASE_CALL = "sw02012"  # sw02012.SPH
WINDOWS_CALL = "sw02010"  # transcripts with Windows line ends
SILENCE = "[silence]"
MIN_SILENCE = 80  # samples between two words that get a line of their own

LETTER_NAMES = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ey|b iy|s iy|d iy|iy|eh f|jh iy|ey ch|ay|jh ey|k ey|eh l|eh m|eh n|ow|p iy|"
        "k y uw|aa r|eh s|t iy|y uw|v iy|d ah b ax l y uw|eh k s|w ay|z iy".split("|"),
    )
)
UNKNOWN_PHONES = "spn"  # words are not pronounced here, only letters are


def audio_path(root: Path, name: str, index: int) -> Path:
    """Where the audio of the ``index``-th call is, by the real folder of its disk."""
    disk = _disk(index)
    folder = root / (LINK_TARGET if disk == LINKED_DISK else f"{ROOT}/{disk}")
    suffix = ".SPH" if name == UPPER_CASE_CALL else ".sph"
    return folder / "data" / f"{name}{suffix}"


def header_fields(placed: PlacedCall) -> Dict[str, str]:
    """The fields that the release puts before the sample counts."""
    first, second = placed.call.speakers
    return {
        "conversation_id": _number(placed),
        "database_id": "SWITCHBOARD-1",
        "database_version": "1" if placed.call.name == RELEASE_1_CALL else "2",
        "speaker_id1": str(first.pin),
        "speaker_id2": str(second.pin),
    }


def write_texts(
    root: Path, train: List[PlacedCall], selection: List[PlacedCall]
) -> None:
    """Everything but the audio; call after the audio is written."""
    calls = train + selection
    folder = root / TRANSCRIPTS
    for placed in calls:
        number = _number(placed)
        end_of_line = "\r\n" if placed.call.name == WINDOWS_CALL else "\n"
        for side in range(2):
            stem = f"sw{number}{'AB'[side]}-ms98-a"
            lines = list(side_lines(placed, side, stem))
            for kind, part in (("trans", 0), ("word", 1)):
                path = folder / number[:2] / number / f"{stem}-{kind}.text"
                rows = [row for line in lines for row in line[part]]
                _write(path, rows, end_of_line)
    _write(folder / "sw-ms98-dict.text", dictionary(calls))
    _write(
        folder / "AAREADME.text",
        [
            "Transcripts of synthetic calls in the format of the 1998 resegmentation.",
            "Text and speech were generated; nothing comes from the real release.",
        ],
    )
    _write_docs(root / ROOT / "docs", calls)
    _write(root / SELECTION_LIST, [placed.call.name for placed in selection])
    link = root / ROOT / LINKED_DISK
    if (root / LINK_TARGET).is_dir():
        os.symlink(os.path.join("..", LINK_TARGET), link, target_is_directory=True)


def side_lines(
    placed: PlacedCall, side: int, stem: str
) -> Iterator[Tuple[List[str], List[str]]]:
    """For each segment of a side its transcript line and its word lines.

    Segments touch each other and cover the whole side, silence included.
    """
    position, number = 0, 0
    for segment in [*placed.side(side), None]:
        start = placed.length if segment is None else segment.start
        if start > position:
            number += 1
            row = _row(f"{stem}-{number:04d}", position, start, SILENCE)
            yield [row], [row]
        if segment is not None:
            number += 1
            name = f"{stem}-{number:04d}"
            text = ms98_text(segment.turn.sentence)
            row = _row(name, segment.start, segment.end, text)
            yield [row], [_row(name, *word) for word in _word_times(segment)]
            position = segment.end


def dictionary(calls: Iterable[PlacedCall]) -> List[str]:
    """Lines of the pronouncing dictionary; ``&`` is written as in HTML."""
    used = {t for c in calls for s in c.segments for t in s.turn.sentence}
    used |= {Token(SILENCE, (), ""), Token("i", ("i",), "I")}
    lines = {f"{t.ms98.replace('&', '&amp;')} {_phones(t)}" for t in used}
    head = "# dictionary of synthetic calls: only letters have real pronunciations"
    return [head, *sorted(lines)]


def _phones(token: Token) -> str:
    if token.ms98 == "i":
        return LETTER_NAMES["I"]
    if token.ms98 == "AT&T":
        return "ey t iy ae n t iy"
    if token.kind != "letters" or token.ms98.startswith("["):
        return {SILENCE: "sil", "[noise]": "nsn"}.get(token.ms98, UNKNOWN_PHONES)
    phones = [LETTER_NAMES[letter] for letter in token.ms98 if letter.isupper()]
    ending = ["z"] if token.ms98[-1] == "s" else []
    return " ".join(phones + ending)


def _word_times(segment: Segment) -> Iterator[Tuple[int, int, str]]:
    position = segment.start
    for token, (start, end) in zip(segment.turn.sentence, segment.spans):
        if start - position >= MIN_SILENCE:
            yield position, start, SILENCE
        else:
            start = position
        yield start, end, token.ms98
        position = end
    if segment.end > position:
        yield position, segment.end, SILENCE


def _write_docs(folder: Path, calls: List[PlacedCall]) -> None:
    table, callers = [], {}
    for placed in calls:
        if placed.call.name == RELEASE_1_CALL:
            continue  # a call without known speakers
        first, second = placed.call.speakers
        table.append(
            f"{_number(placed)}, 1, {first.pin}, {second.pin}, 350, 910304, 1200"
        )
        for speaker in placed.call.speakers:
            sex = "FEMALE" if speaker.female else "MALE"
            callers[speaker.pin] = (
                f'{speaker.pin}, 32, "N", "{sex}", {speaker.born}, '
                f'"{speaker.dialect}", 1, 0'
            )
    _write(folder / "conv_tab.csv", table)
    _write(folder / "conv.tab", table)
    _write(folder / "caller_tab.csv", [callers[pin] for pin in sorted(callers)])
    names = [placed.call.name for placed in calls]
    disks = [f"{_disk(index)} {name}.sph" for index, name in enumerate(names)]
    _write(folder / "swb1_all.dvd.tbl", disks)


def _disk(index: int) -> str:
    return f"swb1_d{1 + index % DISKS}"


def _number(placed: PlacedCall) -> str:
    """``sw02001`` -> ``2001``."""
    return placed.call.name[-4:]


def _row(name: str, start: int, end: int, text: str) -> str:
    return f"{name} {seconds(start):.6f} {seconds(end):.6f} {text}"


def _write(path: Path, lines: Iterable[str], end_of_line: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.writelines(line + end_of_line for line in lines)
