"""Evaluation sets written out: the whole, its halves, and its segments joined."""

from pathlib import Path
from typing import Any, Dict, List

from espnet_ext.corpus import eval_set
from espnet_ext.corpus.audio import AudioInfo
from espnet_ext.corpus.concatenation import (
    PARTS_FILE,
    join_segments,
    joined_set_name,
)
from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.letter_rules import with_letter_rules
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.report import SetRow, set_row
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.stm import Stm, scored_words
from espnet_ext.errors import FormatError

# set -> subset -> how the names of its calls begin
SUBSETS: Dict[str, Dict[str, str]] = {
    "hub5e_00": {"hub5e_00_swb": "sw_", "hub5e_00_ch": "en_"},
    "rt03s": {"rt03s_swbd": "sw_", "rt03s_fsh": "fsh_"},
}


def set_names(name: str, settings: Settings) -> List[str]:
    """All directories that an evaluation set may fill."""
    names = [name, *SUBSETS.get(name, {})]
    return names + [joined_set_name(name, count) for count in settings.concat]


def read_evaluation_set(
    files: eval_set.EvalFiles,
    infos: Dict[Path, AudioInfo],
    settings: Settings,
    log: PreparationLog,
) -> "tuple[Stm, List[Utterance]]":
    """The repaired STM and an utterance for each of its scored segments."""
    stm = eval_set.load_stm(files)
    eval_set.compare_with_pem(files, stm, log)
    dots = settings.text_profile().acronyms in ("dotted", "fisher")
    utterances = eval_set.eval_utterances(
        files, stm, infos, log, extend_s=settings.extend_eval_s, letter_dots=dots
    )
    if not utterances:
        raise FormatError(
            "no segment is scored",
            where=files.stms[0],
            next_step="copy the STM of the release again",
        )
    return stm, utterances


def write_evaluation_set(
    data_dir: Path,
    files: eval_set.EvalFiles,
    infos: Dict[Path, AudioInfo],
    settings: Settings,
    mark: Dict[str, str],
) -> Dict[str, Any]:
    """Write a set, its halves and its joined variants.

    Args:
        mark: A further file for each directory (name and content), or nothing.

    Returns:
        For the stamp: rows of the summary, log, warnings, counts to compare and the
        names of the sets.
    """
    log = PreparationLog()
    stm, utterances = read_evaluation_set(files, infos, settings, log)
    extra: Dict[str, Any] = dict(mark)
    if files.glm is not None:
        extra.update(mapping_files(files.glm, settings))
    rows: List[SetRow] = []
    sides = {u.recording_id for u in utterances}
    found: Dict[str, Any] = {f"{files.name} sides": len(sides)}
    if sides.isdisjoint(files.audio):  # a file holds both sides of a call
        found[f"{files.name} audio files"] = len(files.audio)

    def write(name: str, part: Stm, members: List[Utterance], **more: str) -> None:
        content = {"stm": part.to_text(), **extra, **more}
        write_data_dir(data_dir / name, members, content)
        rows.append(set_row(name, members))
        found[f"{name} segments"] = len(members)
        found[f"{name} hours"] = rows[-1].hours
        found[f"{name} words"] = sum(scored_words(s.text) for s in part.segments)

    write(files.name, stm, utterances, **{"dropped.tsv": log.to_tsv()})
    for name, prefix in SUBSETS.get(files.name, {}).items():
        members = [u for u in utterances if u.recording_id.startswith(prefix)]
        if members:
            write(name, eval_set.of_subset(stm, prefix), members)
    for count in settings.concat:
        joined = join_segments(stm, utterances, count)
        write(
            joined_set_name(files.name, count),
            joined.stm,
            joined.utterances,
            **{PARTS_FILE: joined.parts_text()},
        )
    return {
        "rows": rows,
        "log": log.summary(),
        "warnings": log.warnings,
        "found": found,
        "sets": [row.name for row in rows],
    }


def mapping_files(glm: Path, settings: Settings) -> Dict[str, Any]:
    """``glm`` for scoring; with rules for letters if the text has no dots.

    The file of the release is then kept as ``glm.release``.
    """
    if settings.text_profile().acronyms != "letters":
        return {"glm": glm}
    release = glm.read_text(encoding="utf-8", errors="surrogateescape")
    extended = with_letter_rules(release)
    if extended == release:
        return {"glm": glm}
    return {"glm": extended, "glm.release": glm}
