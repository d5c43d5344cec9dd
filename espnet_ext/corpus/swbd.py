"""Switchboard-1 release 2 (LDC97S62) with the MS-State transcripts.

Ref: LDC97S62 documentation; ISIP "Switchboard resegmentation" (MS98); section 2 of the
Kaldi recipe's conventions for utterance ids.
"""

import csv
import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from espnet_ext.corpus.acronyms import read_acronyms
from espnet_ext.corpus.audio import MAX_OVERSHOOT_S, ROUNDING_S, AudioInfo
from espnet_ext.corpus.find import (
    audio_by_call,
    audio_of_side,
    find_files,
    find_one,
)
from espnet_ext.corpus.kaldi_dir import Utterance, utterance_id
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.ms98 import Profile, make_normaliser
from espnet_ext.corpus.shards import Cluster, map_shards
from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import read_lines

TRANSCRIPT = re.compile(r"^sw(\d{4})([ab])-ms98-a-trans\.text$", re.IGNORECASE)
SELECTION_LIST = "selection_conversations.txt"
MIN_DURATION_S = 0.01
TRANSCRIPT_ALONE = "transcript without audio"
AUDIO_ALONE = "audio without transcript"
PAST_THE_END = "past the end of the audio"

# sw02167 B is nearly empty; the seven segments are left out of RWTH's training lists
KNOWN_BAD_SIDES = {"sw02167-B": "nearly empty side"}
KNOWN_DOUBTS = {
    "sw02671-B": "kept, but reported to hold the words of the other side (unverified)"
}
KNOWN_BAD_SEGMENTS = frozenset(
    f"{segment[:7]}-ms98-a-{segment[8:]}"
    for segment in "sw2986A-0013 sw2663A-0022 sw2691A-0017 sw4091A-0063 sw4103A-0022 "
    "sw4118A-0045 sw4318A-0024".split()
)


class Ms98Segment(NamedTuple):
    """One line of a transcript file; times in seconds."""

    segment_id: str
    start_s: float
    end_s: float
    text: str


class Side(NamedTuple):
    """One side of a call, with all that its utterances are made from.

    Audio (file and channel) and its shape are None if the call has none, the speaker if
    the table does not name him.
    """

    name: str
    transcript: Path
    audio: Optional[Tuple[Path, int]]
    info: Optional[AudioInfo]
    speaker: Optional[str]


@dataclass(frozen=True)
class SwitchboardFiles:
    """Everything the preparation reads.

    Attributes:
        audio: Audio file by call (``sw02001``) or side (``sw02001-A``).
        transcripts: Transcript file by side (``sw02001-A``).
        dictionary: Pronunciations that tell acronyms from words, or None.
        conversations: Table of callers, or None.
        selection: Conversations of the selection set, or None.
    """

    audio: Dict[str, Path]
    transcripts: Dict[str, Path]
    dictionary: Optional[Path]
    conversations: Optional[Path]
    selection: Optional[Path]

    def inputs(self) -> List[Path]:
        """All files, for the stamp."""
        tables = [self.dictionary, self.conversations, self.selection]
        files = [*self.audio.values(), *self.transcripts.values()]
        return files + [table for table in tables if table is not None]


def find_switchboard(
    root: Path, transcript_root: Optional[Path] = None
) -> SwitchboardFiles:
    """Locate the release; transcripts below the root or in a folder of their own.

    Raises:
        MissingInputError: No audio or no transcripts there.
    """
    audio, _ = audio_by_call([root], "sw0[0-9][0-9][0-9][0-9]")
    if not audio:  # some copies drop the zero, as the transcripts do
        short, _ = audio_by_call([root], "sw[2-4][0-9][0-9][0-9]")
        audio = {f"sw0{name[2:]}": path for name, path in short.items()}
    if not audio:
        raise MissingInputError(
            "no Switchboard-1 audio",
            where=root,
            expected="files like swb1_d1/data/sw02001.sph (LDC97S62)",
            next_step="correct SWBD in db.sh, or unpack the disks",
        )
    text_root = root if transcript_root is None else transcript_root
    transcripts = {}
    for path in find_files(text_root, ["sw*-ms98-a-trans.text"]):
        match = TRANSCRIPT.match(path.name)
        if match:
            transcripts[f"sw0{match.group(1)}-{match.group(2).upper()}"] = path
    if not transcripts:
        raise MissingInputError(
            "no MS98 transcripts",
            where=text_root,
            expected="files like 20/2001/sw2001A-ms98-a-trans.text",
            next_step="fetch switchboard_word_alignments.tar.gz (openslr.org/5) and "
            f"unpack it in {root / 'transcriptions'}, or set SWBD_TRANS in db.sh",
        )
    return SwitchboardFiles(
        audio,
        dict(sorted(transcripts.items())),
        find_one(text_root, ["sw-ms98-dict.text"]),
        find_one(root, ["conv_tab.csv", "conv.tab", "conv_tab"]),
        find_one(root, [SELECTION_LIST]),
    )


def read_transcript(path: Path) -> List[Ms98Segment]:
    """Lines ``sw2001A-ms98-a-0002 0.977625 11.561375 words``.

    Raises:
        FormatError: The file is empty, or a line has other fields or no valid times.
    """
    segments = []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split(None, 3)
        if not fields:
            continue
        try:
            segment_id, start, end = fields[:3]
            start_s, end_s = float(start), float(end)
            if not 0 <= start_s <= end_s < math.inf:
                raise ValueError
        except ValueError:
            raise FormatError(
                f"found {line.strip()[:80]!r}",
                where=f"{path} line {number}",
                expected="SEGMENT START END WORDS with 0 <= START <= END",
                next_step="copy the transcript file again",
            ) from None
        text = fields[3].strip() if len(fields) > 3 else ""
        segments.append(Ms98Segment(segment_id, start_s, end_s, text))
    if not segments:
        raise FormatError(
            "transcript file is empty",
            where=path,
            expected="at least one segment (a silent side says [silence])",
            next_step="copy the transcript file again",
        )
    return segments


def read_callers(path: Path) -> Dict[str, str]:
    """Speaker ``sw1028`` by side ``sw02001-A``, from the table of conversations."""
    speakers = {}
    rows = csv.reader(read_lines(path), skipinitialspace=True)
    for number, row in enumerate(rows, start=1):
        fields = [value.strip() for value in row]
        if not any(fields):
            continue
        if number == 1 and not fields[0].isdigit():
            continue  # the names of the columns
        try:
            call, pin_a, pin_b = int(fields[0]), int(fields[2]), int(fields[3])
        except (IndexError, ValueError):
            raise FormatError(
                f"found {','.join(row)!r}",
                where=f"{path} line {number}",
                expected="call, ..., PIN of side A, PIN of side B",
            ) from None
        speakers[f"sw{call:05d}-A"] = f"sw{pin_a:04d}"
        speakers[f"sw{call:05d}-B"] = f"sw{pin_b:04d}"
    return speakers


def read_conversation_list(path: Path) -> List[str]:
    """Calls ``sw02001`` from a list that may say ``2001``, ``02001`` or ``sw02001``."""
    calls = []
    for number, line in enumerate(read_lines(path), start=1):
        name = line.split("#")[0].strip().lower()
        if not name:
            continue
        match = re.fullmatch(r"(?:sw)?0?(\d{4})", name)
        if match is None:
            raise FormatError(
                f"found {line.strip()!r}",
                where=f"{path} line {number}",
                expected="a conversation such as sw02001",
            )
        calls.append(f"sw0{match.group(1)}")
    return calls


def switchboard_utterances(
    files: SwitchboardFiles,
    infos: Dict[Path, AudioInfo],
    profile: Profile,
    log: PreparationLog,
    cluster: Cluster = Cluster(),
) -> List[Utterance]:
    """All segments with words, sorted by id; what is left out is in the log.

    Args:
        infos: Shape of each audio file (from the preflight).
        profile: How the transcripts become text, and whether the sides and segments
            that RWTH leaves out are left out.
        cluster: Where the shards of the transcripts are worked on.
    """
    if files.dictionary is None:
        log.warn("no sw-ms98-dict.text: acronyms are told by their spelling alone")
    if files.conversations is None:
        log.warn("no conv_tab.csv: each side of a call counts as a speaker")
        speakers: Dict[str, str] = {}
    else:
        speakers = read_callers(files.conversations)
        _warn_of_equal_callers(speakers, files, log)
    sides = []
    for side, path in files.transcripts.items():
        audio = audio_of_side(files.audio, side[:-2], side[-1])
        info = None if audio is None else infos[audio[0]]
        sides.append(Side(side, path, audio, info, speakers.get(side)))
    work = functools.partial(
        utterances_of_sides, profile=profile, dictionary=files.dictionary
    )
    utterances: List[Utterance] = []
    for found, noted in map_shards(work, sides, cluster, "transcripts"):
        utterances += found
        log.extend(noted)
    _log_unused_audio(files, log)
    _warn_of_losses(log)
    return sorted(utterances, key=lambda utterance: utterance.utterance_id)


def utterances_of_sides(
    sides: List[Side], profile: Profile, dictionary: Optional[Path]
) -> Tuple[List[Utterance], PreparationLog]:
    """The work on one shard: transcripts to utterances, and what became of the rest."""
    normalise = make_normaliser(profile, read_acronyms(dictionary))
    utterances, log = [], PreparationLog()
    for side in sides:
        if side.audio is None or side.info is None:
            log.drop(side.name, TRANSCRIPT_ALONE, str(side.transcript))
            continue
        if profile.known_defects and side.name in KNOWN_BAD_SIDES:
            log.drop(side.name, KNOWN_BAD_SIDES[side.name])
            continue
        if side.speaker is None:
            log.change(side.name, "caller not in the table: the side is the speaker")
        if side.name in KNOWN_DOUBTS:
            log.change(side.name, KNOWN_DOUBTS[side.name])
        for segment in read_transcript(side.transcript):
            if profile.known_defects and segment.segment_id in KNOWN_BAD_SEGMENTS:
                log.drop(segment.segment_id, "on RWTH's list of unusable segments")
                continue
            text, span = _usable(segment, side.name, side.info, normalise, log)
            if span is not None:
                utterances.append(
                    Utterance(
                        utterance_id(side.name, segment.start_s, segment.end_s),
                        side.name,
                        side.speaker or side.name,
                        text,
                        str(side.audio[0]),
                        side.audio[1],
                        *span,
                    )
                )
    return utterances, log


def _warn_of_equal_callers(
    speakers: Dict[str, str], files: SwitchboardFiles, log: PreparationLog
) -> None:
    """Nobody calls himself: such a line of the table is wrong."""
    for side, speaker in speakers.items():
        call = side[:-2]
        if side.endswith("A") and speakers[f"{call}-B"] == speaker:
            if audio_of_side(files.audio, call, "A"):
                log.warn(f"{call}: both sides are {speaker} in {files.conversations}")


def _usable(
    segment: Ms98Segment,
    side: str,
    info: AudioInfo,
    normalise: Callable[[str], str],
    log: PreparationLog,
) -> Tuple[str, Optional[Tuple[float, float]]]:
    """Text and times of a segment, or no times if it is to be left out."""
    text = normalise(segment.text)
    item = f"{side} {segment.segment_id}"
    if segment.text.split() in (["[silence]"], []):
        log.counts["only silence"] += 1
        return text, None
    if not text:
        log.drop(item, "no words", segment.text)
        return text, None
    start_s, end_s = round(segment.start_s, 2), round(segment.end_s, 2)
    overshoot_s = end_s - info.duration_s
    if overshoot_s > ROUNDING_S:
        detail = f"{start_s:.2f} to {end_s:.2f} s, audio {info.duration_s:.2f} s"
        if overshoot_s > MAX_OVERSHOOT_S or start_s >= info.duration_s:
            log.drop(item, PAST_THE_END, detail)
            return text, None
        log.change(item, "end cut to the end of the audio", detail)
        end_s = math.floor(100 * info.duration_s) / 100
    if end_s - start_s < MIN_DURATION_S:
        log.drop(item, "no duration", f"{start_s:.2f} to {end_s:.2f} s")
        return text, None
    return text, (start_s, end_s)


def _log_unused_audio(files: SwitchboardFiles, log: PreparationLog) -> None:
    for name, path in files.audio.items():
        sides = [name] if name[-2:] in ("-A", "-B") else [f"{name}-A", f"{name}-B"]
        for side in sides:
            if side not in files.transcripts:
                log.drop(side, AUDIO_ALONE, str(path))


def _warn_of_losses(log: PreparationLog) -> None:
    """Losses that a complete copy does not have are said aloud."""
    for reason in (TRANSCRIPT_ALONE, AUDIO_ALONE, PAST_THE_END):
        items = [entry.item for entry in log.entries if entry.reason == reason]
        if items:
            log.warn(f"{reason}: {len(items)}, first {items[0]}; is the copy complete?")
