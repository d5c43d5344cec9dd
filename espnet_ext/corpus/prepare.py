"""From the releases to data directories: check, train, evaluation sets, text, validate.

Each stage is repeated only if its inputs, settings or results have changed. A release
that is not given is named with what it is for, and the rest is prepared; anything wrong
with a release that is given stops the preparation.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_ext.corpus import eval_set, splits
from espnet_ext.corpus.acronyms import read_acronyms
from espnet_ext.corpus.audio import AudioInfo, check_audio_files
from espnet_ext.corpus.corpora import Sources, locate, missing_releases
from espnet_ext.corpus.kaldi_dir import write_data_dir
from espnet_ext.corpus.letter_rules import with_letter_rules
from espnet_ext.corpus.lm_text import write_lm_text
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.ms98 import Profile, make_normaliser, profile_named
from espnet_ext.corpus.report import SetRow, compare, set_row, table
from espnet_ext.corpus.stamp import Stamp, files_below
from espnet_ext.corpus.swbd import read_conversation_list, switchboard_utterances
from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import FormatError, MissingInputError, OptionError

STAGES = {
    1: "check the inputs",
    2: "train and dev",
    3: "evaluation sets",
    4: "text for language models",
    5: "validate",
}
RATE_HZ = 8000
# raised when the code makes other files from the same inputs
VERSION = 1


@dataclass(frozen=True)
class Settings:
    """Choices of a preparation; all of them are part of the stamps.

    Attributes:
        profile: Text profile, ``rwth`` or ``kaldi`` (see ``ms98``).
        noise_tags: ``remove``, ``upper`` or ``lower``; None for the profile's.
        acronyms: ``letters``, ``dotted``, ``fisher`` or ``joined``; None likewise.
        split: ``list``, ``kaldi``, or ``auto``: the list if there is one.
        valid_list: File with the selection conversations; None for the corpus's own.
        dev_utterances: Size of the selection set of the split ``kaldi``.
        max_same_text: Limit of equal texts in training; None for the split's own
            (300 for ``kaldi``, none for ``list``), 0 for no limit.
        extend_eval_s: Widen evaluation segments (Kaldi: 0.1).
    """

    profile: str = "rwth"
    noise_tags: Optional[str] = None
    acronyms: Optional[str] = None
    split: str = "auto"
    valid_list: Optional[str] = None
    dev_utterances: int = splits.KALDI_DEV_UTTERANCES
    max_same_text: Optional[int] = None
    extend_eval_s: float = 0.0

    def text_profile(self) -> Profile:
        """The profile with the single choices that override it."""
        chosen = {"noise_tags": self.noise_tags, "acronyms": self.acronyms}
        given = {key: value for key, value in chosen.items() if value is not None}
        return replace(profile_named(self.profile), **given)


@dataclass
class Report:
    """What was prepared: sizes, comparison with the releases, warnings."""

    rows: List[SetRow]
    comparison: List[str]
    warnings: List[str]
    stages_run: List[int]

    def lines(self) -> List[str]:
        """The summary screen."""
        lines = table(self.rows) if self.rows else []
        lines += [f"found {line}" for line in self.comparison]
        return lines + [f"warning: {warning}" for warning in self.warnings]


def prepare(
    roots: Mapping[str, Path],
    data_dir: Path,
    *,
    settings: Settings = Settings(),
    stage: int = 1,
    stop_stage: int = 5,
    say=print,
) -> Report:
    """Prepare every release that is given.

    Args:
        roots: Folder by key of ``corpora.RELEASES``.
        data_dir: Gets train, dev, hub5e_00, hub5e_01, rt03s and lm.
        stage, stop_stage: First and last of STAGES to do.
        say: Takes one line for the user.

    Raises:
        UserError: Named input, option or disk problem; finished sets are kept.
    """
    if not 1 <= stage <= stop_stage <= max(STAGES):
        raise OptionError(
            f"stages {stage} to {stop_stage}",
            expected=f"1 <= stage <= stop_stage <= {max(STAGES)}",
            next_step="correct --stage or --stop_stage",
        )
    if not roots:
        raise MissingInputError(
            "no corpus is given",
            expected="at least one release",
            next_step="fill in db.sh, or give --root DIR or --swbd DIR",
        )
    job = _Preparation(dict(roots), Path(data_dir), settings, say)
    return job.run(stage, stop_stage)


class _Preparation:
    """One run: the sources, and what the stages share."""

    def __init__(self, roots: Dict[str, Path], data_dir: Path, settings: Settings, say):
        self.roots = roots
        self.data_dir = data_dir
        self.settings = settings
        self.profile = settings.text_profile()
        self.say = say
        self.sources: Sources = locate(roots)
        self.report = Report([], [], [], [])
        self.found: Dict[str, float] = {}
        self._infos: Optional[Dict[Path, AudioInfo]] = None

    def run(self, stage: int, stop_stage: int) -> Report:
        for line in missing_releases(self.roots):
            self.say(f"  {line}")
        halves = {"eval2000_audio", "eval2000_trans"}.intersection(self.roots)
        if len(halves) == 1:
            self.report.warnings.append(
                f"hub5e_00 needs audio and transcripts, only {halves.pop()} is given"
            )
        for eval_files in self.sources.eval_sets:
            if eval_files.glm is None:
                self.report.warnings.append(
                    f"{eval_files.name}: no GLM found; sclite scoring needs one"
                )
        steps = {
            1: self.check_inputs,
            2: self.prepare_train,
            3: self.prepare_eval_sets,
            4: self.prepare_text,
            5: self.validate,
        }
        for number in range(stage, stop_stage + 1):
            steps[number]()
        lines, warnings = compare(self.found)
        self.report.comparison += lines
        self.report.warnings += warnings
        return self.report

    def check_inputs(self) -> None:
        """Open every audio header, so that a bad file stops at once."""
        stamp = self._stamp(1, "inputs", {}, self.sources.audio())
        if self._is_needed(1, stamp, []):
            self.audio_infos()
            stamp.write([])

    def audio_infos(self) -> Dict[Path, AudioInfo]:
        """Shape of each audio file; all bad ones are named in one error."""
        if self._infos is None:
            paths = self.sources.audio()
            self._infos = dict(zip(paths, check_audio_files(paths)))
        return self._infos

    def prepare_train(self) -> None:
        files = self.sources.switchboard
        if files is None:
            return
        valid_list = self.settings.valid_list or files.selection
        inputs = files.inputs() + ([Path(valid_list)] if valid_list else [])
        settings = {**asdict(self.settings), "extend_eval_s": None}
        stamp = self._stamp(2, "train", settings, inputs)
        outputs = [self.data_dir / "train", self.data_dir / "dev"]
        if self._is_needed(2, stamp, outputs):
            result = self._write_train(valid_list)
            stamp.write(outputs, result)
        self._use(stamp.result())

    def _write_train(self, valid_list) -> Dict[str, Any]:
        files, log = self.sources.switchboard, PreparationLog()
        if files.dictionary is None:
            log.warn("no sw-ms98-dict.text: acronyms are told by their spelling alone")
        if files.conversations is None:
            log.warn("no conv_tab.csv: each side of a call counts as a speaker")
        utterances = switchboard_utterances(
            files,
            self.audio_infos(),
            make_normaliser(self.profile, read_acronyms(files.dictionary)),
            log,
            known_defects=self.settings.profile == "rwth",
        )
        if not utterances:
            raise FormatError("no utterance with words", where=self.roots["swbd"])
        whole = set_row("train+dev", utterances)
        kind = self.settings.split
        if kind == "auto":
            kind = "list" if valid_list else "kaldi"
        split = self._split(kind, utterances, valid_list)
        limit = self.settings.max_same_text
        if limit is None and kind == "kaldi":
            limit = splits.KALDI_MAX_SAME_TEXT
        train = splits.limit_same_text(split.train, limit or None, log)
        for warning in splits.overlap_warnings(split):
            log.warn(warning)
        write_data_dir(self.data_dir / "train", train, {"dropped.tsv": log.to_tsv()})
        write_data_dir(self.data_dir / "dev", split.dev)
        name = self.settings.profile
        return {
            "rows": [set_row("train", train), set_row("dev", split.dev)],
            "log": log.summary(),
            "warnings": log.warnings,
            "found": {
                "Switchboard audio files": len(files.audio),
                f"train+dev segments ({name})": whole.utterances,
                f"train+dev hours ({name})": whole.hours,
            },
        }

    def _split(self, kind: str, utterances, valid_list) -> splits.Split:
        if kind == "kaldi":
            return splits.split_like_kaldi(utterances, self.settings.dev_utterances)
        if kind != "list":
            raise OptionError(f"unknown split {kind!r}", expected="auto, list, kaldi")
        if not valid_list:
            raise OptionError(
                "the split 'list' needs a list of conversations",
                next_step="give --valid_list FILE",
            )
        return splits.split_by_calls(utterances, read_conversation_list(valid_list))

    def prepare_eval_sets(self) -> None:
        for files in self.sources.eval_sets:
            settings = {
                "extend_eval_s": self.settings.extend_eval_s,
                "acronyms": self.profile.acronyms,
            }
            stamp = self._stamp(3, files.name, settings, files.inputs())
            outputs = [self.data_dir / files.name]
            if self._is_needed(3, stamp, outputs):
                stamp.write(outputs, self._write_eval_set(files))
            self._use(stamp.result())

    def _write_eval_set(self, files: eval_set.EvalFiles) -> Dict[str, Any]:
        log = PreparationLog()
        stm = eval_set.load_stm(files)
        eval_set.compare_with_pem(files, stm, log)
        utterances = eval_set.eval_utterances(
            files,
            stm,
            self.audio_infos(),
            log,
            extend_s=self.settings.extend_eval_s,
            letter_dots=self.profile.acronyms in ("dotted", "fisher"),
        )
        extra: Dict[str, Any] = {"stm": stm.to_text(), "dropped.tsv": log.to_tsv()}
        if files.glm is not None:
            extra.update(self._mapping_files(files.glm))
        write_data_dir(self.data_dir / files.name, utterances, extra)
        row = set_row(files.name, utterances)
        return {
            "rows": [row],
            "log": log.summary(),
            "warnings": log.warnings,
            "found": {
                f"{files.name} audio files": len(files.audio),
                f"{files.name} segments": row.utterances,
                f"{files.name} hours": row.hours,
            },
        }

    def _mapping_files(self, glm: Path) -> Dict[str, Any]:
        """``glm`` for scoring; with rules for letters if the text has no dots.

        The file of the release is then kept as ``glm.release``.
        """
        if self.profile.acronyms != "letters":
            return {"glm": glm}
        release = glm.read_text(encoding="utf-8", errors="surrogateescape")
        extended = with_letter_rules(release)
        if extended == release:
            return {"glm": glm}
        return {"glm": extended, "glm.release": glm}

    def prepare_text(self) -> None:
        """Training text and Fisher in ``lm``, see ``lm_text``."""
        train, target = self.data_dir / "train", self.data_dir / "lm"
        if not train.is_dir() and not self.sources.fisher:
            return
        tests = [self.data_dir / files.name for files in self.sources.eval_sets]
        tests = [folder for folder in tests if (folder / "text").exists()]
        inputs = [train / "text", *self.sources.fisher.values()]
        inputs += [folder / "text" for folder in tests]
        settings = {**asdict(self.profile), "text": "with ids"}
        stamp = self._stamp(4, "text", settings, inputs)
        if self._is_needed(4, stamp, [target]):
            result = write_lm_text(
                target, train, self.sources.fisher, self.profile, tests
            )
            stamp.write([target], result)
        self._use(stamp.result())

    def validate(self) -> None:
        names = ["train", "dev"] + [files.name for files in self.sources.eval_sets]
        folders = [self.data_dir / n for n in names if (self.data_dir / n).is_dir()]
        if not folders:
            raise MissingInputError(
                f"none of {', '.join(names)} is there to validate",
                where=self.data_dir,
                next_step="run stages 2 and 3 first",
            )
        stamp = self._stamp(5, "valid", {}, files_below(folders) + self.sources.audio())
        if self._is_needed(5, stamp, []):
            for folder in folders:
                validate_data_dir(folder, rate=RATE_HZ)
                self.say(f"  {folder}: valid")
            stamp.write([])

    def _stamp(self, number: int, name: str, settings, inputs) -> Stamp:
        path = self.data_dir / ".prepare" / f"{number}-{name}.json"
        return Stamp(path, {**settings, "version": VERSION}, inputs)

    def _is_needed(self, number: int, stamp: Stamp, outputs: List[Path]) -> bool:
        reason = stamp.reason_to_run(outputs)
        title = f"stage {number} ({STAGES[number]}, {stamp.path.stem[2:]})"
        if reason is None:
            self.say(f"{title}: up to date")
            return False
        self.say(f"{title}: {reason}")
        self.report.stages_run.append(number)
        return True

    def _use(self, result: Optional[Dict[str, Any]]) -> None:
        """Take over rows, counts and warnings of a stage, done now or before."""
        if result is None:
            return
        self.report.rows += [SetRow(*row) for row in result.get("rows", [])]
        self.report.warnings += result.get("warnings", [])
        self.found.update(result.get("found", {}))
        for line in result.get("log", []):
            self.say(f"  {line}")
