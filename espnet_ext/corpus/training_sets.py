"""Training and selection sets of Switchboard-1: made, split, checked, written."""

from pathlib import Path
from typing import Any, Dict, List, Optional

from espnet_ext.corpus import splits
from espnet_ext.corpus.audio import AudioInfo
from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.report import set_row
from espnet_ext.corpus.selection import split_disjoint
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.shards import Cluster
from espnet_ext.corpus.swbd import (
    SwitchboardFiles,
    read_conversation_list,
    switchboard_utterances,
)
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.names import nearest

DROPPED = "dropped.tsv"
# in each directory that is made by selecting on a test set, so that it goes along
MARK = "SELECTION_ON_TEST_SET"
MARK_TEXT = """\
The selection set is made of hub5e_00, a test set. A model selected with it has seen
this test set: its error rate on hub5e_00 is no measurement. Report hub5e_01 and rt03s.
"""


def split_kind(settings: Settings, selection: Optional[Path]) -> str:
    """The name of the split: ``auto`` is the list if there is one.

    Raises:
        OptionError: No such split, or a list without a file.
    """
    kind = settings.split
    if kind == "auto":
        return "list" if settings.valid_list or selection else "disjoint"
    if kind not in splits.SPLITS:
        raise OptionError(
            f"unknown split {kind!r}",
            expected=", ".join(["auto", *splits.SPLITS]),
            next_step=f"did you mean {nearest(kind, splits.SPLITS) or 'auto'}?",
        )
    if kind == "list" and not (settings.valid_list or selection):
        raise OptionError(
            "the split 'list' needs a list of conversations",
            next_step="give --valid_list FILE",
        )
    return kind


def write_training_sets(
    data_dir: Path,
    files: SwitchboardFiles,
    infos: Dict[Path, AudioInfo],
    settings: Settings,
    cluster: Cluster,
    test_set: Optional[List[Utterance]],
) -> Dict[str, Any]:
    """Write the sets of the split.

    Args:
        test_set: hub5e_00, for the split that selects on it.

    Returns:
        For the stamp: rows of the summary, log, warnings, counts to compare and the
        names of the sets, training first.
    """
    log = PreparationLog()
    profile = settings.text_profile()
    utterances = switchboard_utterances(files, infos, profile, log, cluster)
    if not utterances:
        raise FormatError("no utterance with words", where="Switchboard-1")
    kind = split_kind(settings, files.selection)
    split = _split(kind, utterances, files, settings, test_set, log)
    limit = settings.max_same_text
    if limit is None and kind == "kaldi":
        limit = splits.KALDI_MAX_SAME_TEXT
    train = splits.limit_same_text(split.train, limit or None, log)
    _check(split, train, limit, log)
    sets = splits.Split(train, split.dev, split.more).named(kind)
    mark = {}
    if kind == "test_as_cv":
        mark = {MARK: MARK_TEXT}
        log.warn("selection on a test set: scores on hub5e_00 are no measurement")
    for number, (name, members) in enumerate(sets.items()):
        extra = {DROPPED: log.to_tsv(), **mark} if number == 0 else mark
        write_data_dir(data_dir / name, members, extra)
    rows = [set_row(name, members) for name, members in sets.items()]
    found = counts_of(files, utterances, settings)
    for row in rows:
        found[f"{row.name} utterances"] = row.utterances
        found[f"{row.name} hours"] = row.hours
    text, count = splits.most_frequent_text(train)
    return {
        "rows": rows,
        "log": [*log.summary(), f"most frequent text: {text!r}, {count:,} times"],
        "warnings": log.warnings,
        "found": found,
        "sets": list(sets),
    }


def counts_of(
    files: SwitchboardFiles, utterances: List[Utterance], settings: Settings
) -> Dict[str, Any]:
    """Counts of the whole release, before it is split, to compare with the real one."""
    noise_too = settings.text_profile().keep_noise_only
    what = "words or noise" if noise_too else "words"
    whole = set_row("all", utterances)
    speakers = {u.speaker_id for u in utterances if u.speaker_id != u.recording_id}
    found = {
        f"segments with {what}": whole.utterances,
        f"hours with {what}": whole.hours,
        f"sides with {what}": len({u.recording_id for u in utterances}),
    }
    if not any(name[-2:] in ("-A", "-B") for name in files.audio):
        found["Switchboard audio files"] = len(files.audio)
    if speakers:
        found["callers"] = len(speakers)
    return found


def _split(
    kind: str,
    utterances: List[Utterance],
    files: SwitchboardFiles,
    settings: Settings,
    test_set: Optional[List[Utterance]],
    log: PreparationLog,
) -> splits.Split:
    size = settings.dev_utterances
    if kind == "list":
        calls = read_conversation_list(Path(settings.valid_list or files.selection))
        return splits.split_by_calls(utterances, calls)
    if kind == "kaldi":
        return splits.split_like_kaldi(utterances, size)
    if kind == "rwth":
        return splits.split_like_rwth(utterances, size, settings.held_out_utterances)
    if kind == "disjoint":
        return split_disjoint(utterances, log, size)
    if test_set is None:
        raise OptionError(
            "the split 'test_as_cv' needs hub5e_00",
            expected="LDC2002S09 and LDC2002T43",
            next_step="fill in EVAL2000_AUDIO and EVAL2000_TRANS in db.sh",
        )
    return splits.split_on_test(utterances, test_set, log)


def _check(
    split: splits.Split,
    train: List[Utterance],
    limit: Optional[int],
    log: PreparationLog,
) -> None:
    """What must hold of the sets, whoever made them."""
    for warning in splits.overlap_warnings(split):
        log.warn(warning)
    text, count = splits.most_frequent_text(train)
    if limit and count > limit:
        raise FormatError(
            f"{text!r} occurs {count} times in training",
            expected=f"at most {limit} times",
        )
