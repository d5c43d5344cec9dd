"""Stage 1 for sets that exist already: ``--datadir D`` is checked and taken over.

D holds Kaldi-style data directories, with or without ``segments``, and is only read.
The sets are written into ``<dumpdir>/data`` in the form that the later stages read: one
order, audio as files (no commands, no archives), and ``stm`` and ``glm`` where D has
them. What stages 2 and 5 make lies there too, so that D stays as it is.
"""

import dataclasses
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from espnet_ext.corpus.concatenation import PARTS_FILE
from espnet_ext.corpus.kaldi_dir import Utterance, read_data_dir, write_data_dir
from espnet_ext.corpus.log import progress
from espnet_ext.corpus.training_sets import MARK
from espnet_ext.corpus.validation import find_problems
from espnet_ext.errors import FormatError, MissingInputError, UserError
from espnet_ext.files import read_lines
from espnet_ext.names import nearest
from espnet_ext.recipe.archives import archive_of, unpack
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.state import Due, Unit

READ = ("wav.scp", "text", "utt2spk", "spk2utt", "segments", "reco2file_and_channel")
# besides scoring files: how joined segments are made, and a selection on a test set
TAKEN_AS_THEY_ARE = ("stm", "glm", PARTS_FILE, MARK)
WRITTEN = ("wav.scp", "text", "utt2spk", "spk2utt")
UNPACKED = "unpacked_audio"
MAX_BAD_PERCENT = 0.5
SHOWN = 20


def names(context: Context) -> List[str]:
    """The sets that are taken over, each once."""
    layout = context.layout
    given = {layout.train_set: layout.unperturbed_train_set}
    return [given.get(name, name) for name in layout.sets]


def require_sets(options: RecipeOptions, wanted: List[str]) -> None:
    """Look for the directories before anything is done.

    Raises:
        MissingInputError: D does not exist, or holds no such set; names those it has.
    """
    root = Path(options.datadir)
    if not root.is_dir():
        raise MissingInputError("no such folder", where=f"--datadir {root}")
    there = sorted(path.parent.name for path in root.glob("*/wav.scp"))
    for name in wanted:
        if not (root / name / "wav.scp").is_file():
            close = nearest(name, there)
            raise MissingInputError(
                "no data directory of this name (it has no wav.scp)",
                where=root / name,
                expected=f"one of {', '.join(there)}" if there else "a wav.scp",
                next_step=f"did you mean {close}?" if close else None,
            )


def units(context: Context) -> List[Unit]:
    """One unit a set."""
    options, layout = context.options, context.layout
    require_sets(options, names(context))
    made = []
    for name in names(context):
        source, target = Path(options.datadir) / name, layout.data / name
        files = [source / file for file in (*READ, *TAKEN_AS_THEY_ARE)]
        made.append(
            Unit(
                stage=1,
                target=str(target),
                settings={"datadir": options.datadir},
                inputs=[file for file in files if file.exists()] + archives(source),
                outputs=[target / file for file in WRITTEN],
                root=layout.data,
                kind=name,
            )
        )
    return made


def archives(source: Path) -> List[Path]:
    """The Kaldi archives that a set takes audio from: a new one is a new set."""
    entries = (
        line.partition(" ")[2].strip() for line in read_lines(source / "wav.scp")
    )
    found = (archive_of(found_path(entry, source.parent)) for entry in entries)
    files = dict.fromkeys(Path(part[0]) for part in found if part)
    return [file for file in files if file.exists()]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Check and write the sets that are due."""
    facts: Dict[str, object] = {}
    for unit, _ in due:
        name = Path(unit.target).name
        facts[name] = take_over(context, Path(context.options.datadir) / name, unit)
    return facts


def take_over(context: Context, source: Path, unit: Unit) -> str:
    """Write one set; returns its size.

    Raises:
        FormatError: A table is not sound, audio cannot be used, or more than half a
            percent of the utterances (of a test set: any) lie outside their audio.
    """
    problems, _ = find_problems(source, check_audio=False)
    refuse([str(p) for p in problems if p.utterance is None], source)
    utterances = [
        dataclasses.replace(u, audio_path=found_path(u.audio_path, source.parent))
        for u in read_data_dir(source)
    ]
    utterances = unpacked(utterances, context.layout.data / UNPACKED, source)
    lengths = audio_lengths(utterances, source)
    good, bad = [], []
    for utterance in utterances:
        reason = outside(utterance, lengths[utterance.audio_path])
        if reason is None:
            good.append(utterance)
        else:
            bad.append(f"{utterance.utterance_id}: {reason}")
    # results without some of the test utterances would not be those of the set
    tolerated = 0.0 if source.name in context.layout.test_sets else MAX_BAD_PERCENT
    if 100 * len(bad) > tolerated * len(utterances):
        refuse(bad, source)
    for line in bad:
        context.log.detail(f"{source}: left out: {line}")
    extra = {f: source / f for f in TAKEN_AS_THEY_ARE if (source / f).is_file()}
    write_data_dir(unit.target, good, extra)
    return _describe(good, lengths, len(bad), unit.target)


def refuse(problems: List[str], source: Path) -> None:
    """Stop if there are problems; the first ones are shown."""
    if problems:
        shown = "\n".join(f"    {problem}" for problem in problems[:SHOWN])
        more = f"\n    ... and {len(problems) - SHOWN} more" * (len(problems) > SHOWN)
        raise FormatError(
            f"{len(problems)} problem(s):\n{shown}{more}",
            where=source,
            expected="a data directory that Kaldi's validate_data_dir.sh accepts",
            next_step=f"espnet-ext data validate --list FILE {source} writes them all",
        )


def found_path(entry: str, root: Path) -> str:
    """Paths are relative to a recipe folder: the one here, or one that D lies in."""
    file, offset = archive_of(entry) or (entry, None)
    if Path(file).is_absolute() or Path(file).exists():
        return entry
    for folder in root.resolve().parents:  # D may be data, or dump/raw
        if (folder / file).exists():
            found = str(folder / file)
            return found if offset is None else f"{found}:{offset}"
    return entry


def unpacked(
    utterances: List[Utterance], folder: Path, source: Path
) -> List[Utterance]:
    """The same utterances, with audio of Kaldi archives as files in ``folder``."""
    packed = {u.audio_path: u.recording_id for u in utterances}
    packed = {entry: name for entry, name in packed.items() if archive_of(entry)}
    files: Dict[str, str] = {}
    bad: List[str] = []
    for entry in progress(packed, f"archives of {source.name}") if packed else ():
        target = folder / source.name / f"{packed[entry].replace('/', '_')}.flac"
        try:
            unpack(entry, target)
        except UserError as error:
            bad.append(error.message().splitlines()[0])
        files[entry] = str(target)
    refuse(bad, source / "wav.scp")
    return [
        dataclasses.replace(u, audio_path=files.get(u.audio_path, u.audio_path))
        for u in utterances
    ]


def audio_lengths(
    utterances: List[Utterance], source: Path
) -> Dict[str, Tuple[float, int]]:
    """Seconds and channels of each audio file; all bad ones in one error."""
    from espnet_ext.corpus.audio import audio_info

    found: Dict[str, Tuple[float, int]] = {}
    bad: List[str] = []
    paths = dict.fromkeys(u.audio_path for u in utterances)
    for path in progress(paths, f"audio of {source.name}"):
        try:
            info = audio_info(path)
            found[path] = (info.duration_s, info.channels)
        except UserError as error:
            bad.append(error.message().splitlines()[0])
    refuse(bad, source / "wav.scp")
    return found


def outside(utterance: Utterance, shape: Tuple[float, int]) -> Optional[str]:
    """Why an utterance cannot be cut out of its audio; None if it can."""
    from espnet_ext.corpus.audio import MAX_OVERSHOOT_S

    length_s, channels = shape
    end_s = length_s if utterance.end_s is None else utterance.end_s
    if utterance.channel >= channels:
        return f"channel {utterance.channel + 1} of {channels}"
    if not utterance.start_s < min(end_s, length_s):
        return f"starts at {utterance.start_s} s, the audio has {length_s:.2f} s"
    if end_s > length_s + MAX_OVERSHOOT_S:
        return f"ends at {end_s} s, the audio has {length_s:.2f} s"
    return None


def _describe(
    utterances: List[Utterance], lengths: Dict, left_out: int, target: str
) -> str:
    total_s = sum(
        (lengths[u.audio_path][0] if u.end_s is None else u.end_s) - u.start_s
        for u in utterances
    )
    speakers = len({u.speaker_id for u in utterances})
    note = f"; {left_out} left out, see the log" if left_out else ""
    return (
        f"{len(utterances)} utterances, {speakers} speakers, {hours(total_s)}{note} "
        f"({target})"
    )
