"""Evaluation sets: an STM, the audio of its calls, and the GLM that scores it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from espnet_ext.corpus.audio import MAX_OVERSHOOT_S, ROUNDING_S, AudioInfo
from espnet_ext.corpus.find import audio_of_side
from espnet_ext.corpus.kaldi_dir import Utterance, utterance_id
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.stm import (
    Stm,
    StmSegment,
    merged,
    read_stm,
    reference_words,
    repaired,
    undefined_labels,
)
from espnet_ext.errors import FormatError, MissingInputError

SIDES = ("A", "B")


@dataclass(frozen=True)
class EvalFiles:
    """Where an evaluation set lies.

    Attributes:
        name: Name of the data directory, ``hub5e_00``.
        stms: One STM, or one a call.
        glm: Word mappings of the scoring, or None.
        audio: Audio file by call (lower case) or side (``sw4653-A``).
        pem: Partition of the release, only compared with the STM; or None.
    """

    name: str
    stms: Tuple[Path, ...]
    glm: Optional[Path]
    audio: Dict[str, Path]
    pem: Optional[Path] = None

    def inputs(self) -> List[Path]:
        """All files, for the stamp."""
        optional = [path for path in (self.glm, self.pem) if path is not None]
        return [*self.stms, *self.audio.values(), *optional]


def load_stm(files: EvalFiles) -> Stm:
    """All STM files of a set as one, repaired, with every label defined."""
    stm = repaired(merged(read_stm(path) for path in files.stms))
    unknown = undefined_labels(stm)
    if unknown:
        raise FormatError(
            f"label(s) {', '.join(unknown)} are used but not defined",
            where=files.stms[0],
            expected=';; LABEL "..." lines for all; sclite stops otherwise',
            next_step="add the lines, or copy the STM of the release again",
        )
    return stm


def eval_utterances(
    files: EvalFiles,
    stm: Stm,
    infos: Dict[Path, AudioInfo],
    log: PreparationLog,
    *,
    extend_s: float = 0.0,
    letter_dots: bool = False,
) -> List[Utterance]:
    """One utterance for each segment that is scored, empty ones too.

    Args:
        infos: Shape of each audio file (from the preflight).
        extend_s: Widen each segment on both sides by up to this time, less where a
            neighbour is near (Kaldi: 0.1; RWTH: 0). Ids keep the times of the STM.
        letter_dots: Keep ``u. s.`` in the reference text.

    Raises:
        MissingInputError: A call of the STM has no audio; it would be scored as
            deletions.
        FormatError: A segment lies outside its audio.
    """
    sides = {(segment.file, segment.channel) for segment in stm.segments}
    missing = sorted(
        {
            call
            for call, side in sides
            if side in SIDES and not audio_of_side(files.audio, call.lower(), side)
        }
    )
    if missing:
        raise MissingInputError(
            f"{len(missing)} call(s) of the STM have no audio: "
            + ", ".join(missing[:9]),
            where=files.name,
            expected="one audio file a call; a missing one counts as deletions",
            next_step="complete the audio folder of this set",
        )
    scored = []
    for segment in stm.segments:
        if segment.ignored:
            log.counts["not scored by the STM"] += 1
        else:
            scored.append(segment)
    spans = _widened(scored, extend_s)
    utterances = []
    for segment in scored:
        side = f"{segment.file}-{segment.channel}"
        audio, channel = _audio_of(segment, files)
        utterances.append(
            Utterance(
                utterance_id(side, segment.start_s, segment.end_s),
                side,
                side,
                reference_words(segment.text, letter_dots=letter_dots),
                str(audio),
                channel,
                *_inside_audio(spans[segment], infos[audio], segment, files, log),
            )
        )
    return sorted(utterances, key=lambda utterance: utterance.utterance_id)


def compare_with_pem(files: EvalFiles, stm: Stm, log: PreparationLog) -> None:
    """Warn if the partition file names other segments than the STM."""
    if files.pem is None:
        return
    from espnet_ext.corpus.pem import read_pem

    listed = {(call, side, start) for call, side, start, _ in read_pem(files.pem)}
    scored = {(s.file, s.channel, s.start_s) for s in stm.segments}
    differing = sorted(listed ^ scored)
    if differing:
        call, side, start = differing[0]
        log.warn(
            f"{files.name}: PEM and STM differ in {len(differing)} segment(s), first "
            f"{call} {side} at {start} s; the STM is used"
        )


def _audio_of(segment: StmSegment, files: EvalFiles) -> Tuple[Path, int]:
    if segment.channel not in SIDES:
        raise FormatError(
            f"{segment.file}: channel {segment.channel!r}",
            where=files.stms[0],
            expected="A, B, 1 or 2",
        )
    found = audio_of_side(files.audio, segment.file.lower(), segment.channel)
    assert found is not None  # looked for before the first segment
    return found


def _widened(
    segments: List[StmSegment], extend_s: float
) -> Dict[StmSegment, Tuple[float, float]]:
    """Start and end of each segment, widened as far as its neighbours allow."""
    by_side: Dict[Tuple[str, str], List[StmSegment]] = {}
    for segment in segments:
        by_side.setdefault((segment.file, segment.channel), []).append(segment)
    spans = {}
    for side in by_side.values():
        side.sort(key=lambda segment: segment.start_s)
        edges = [0.0] + [segment.end_s for segment in side]
        starts = [segment.start_s for segment in side] + [math.inf]
        for index, segment in enumerate(side):
            gap_before = max(segment.start_s - edges[index], 0.0)
            gap_after = max(starts[index + 1] - segment.end_s, 0.0)
            before = min(extend_s, gap_before if index == 0 else gap_before / 2)
            after = min(extend_s, gap_after / 2)
            spans[segment] = (
                round(segment.start_s - before, 2),
                round(segment.end_s + after, 2),
            )
    return spans


def _inside_audio(
    span: Tuple[float, float],
    info: AudioInfo,
    segment: StmSegment,
    files: EvalFiles,
    log: PreparationLog,
) -> Tuple[float, float]:
    start_s, end_s = span
    latest_s = info.duration_s + MAX_OVERSHOOT_S
    if start_s >= info.duration_s or segment.end_s > latest_s:
        raise FormatError(
            f"{segment.file} {segment.channel}: segment {start_s} to {end_s} s, but "
            f"the audio has {info.duration_s:.2f} s",
            where=files.name,
            expected="the audio that belongs to this STM",
            next_step="copy the audio file of this call again",
        )
    if end_s > info.duration_s + ROUNDING_S:
        if segment.end_s > info.duration_s + ROUNDING_S:
            item = f"{segment.file}-{segment.channel} {segment.start_s:.2f}"
            detail = f"{end_s:.2f} s, audio {info.duration_s:.2f} s"
            log.change(item, "end cut to the end of the audio", detail)
        end_s = math.floor(100 * info.duration_s) / 100
    return start_s, end_s


def of_subset(stm: Stm, call_prefix: str) -> Stm:
    """The segments whose call begins with a prefix (``en_``, ``sw_``, ``fsh_``)."""
    chosen = [s for s in stm.segments if s.file.startswith(call_prefix)]
    return replace(stm, segments=tuple(chosen))
