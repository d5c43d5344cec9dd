"""From the releases to data directories: check, train, evaluation sets, text, validate.

Each stage is repeated only if its inputs, settings or results have changed. A release
that is not given is named with what it is for, and the rest is prepared; anything wrong
with a release that is given stops the preparation.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_ext.corpus.audio import AudioInfo, check_audio_files, sides_are_equal
from espnet_ext.corpus.corpora import Sources, locate, missing_releases
from espnet_ext.corpus.eval_set import EvalFiles
from espnet_ext.corpus.evaluation_sets import (
    read_evaluation_set,
    set_names,
    write_evaluation_set,
)
from espnet_ext.corpus.kaldi_dir import Utterance
from espnet_ext.corpus.lm_text import write_lm_text
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.report import SetRow, compare, table
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.shards import Cluster
from espnet_ext.corpus.splits import SPLITS
from espnet_ext.corpus.stamp import Stamp, files_below
from espnet_ext.corpus.training_sets import (
    MARK,
    MARK_TEXT,
    split_kind,
    write_training_sets,
)
from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.files import atomic_write

STAGES = {
    1: "check the inputs",
    2: "training and selection sets",
    3: "evaluation sets",
    4: "text for language models",
    5: "validate",
}
REPORT = "report.md"
# raised when the code makes other files from the same inputs
VERSION = 2


@dataclass
class Report:
    """What was prepared: sizes, comparison with the releases, warnings.

    ``left_out`` holds, for each part, what was dropped or changed and how often.
    """

    rows: List[SetRow]
    comparison: List[str]
    warnings: List[str]
    stages_run: List[int]
    left_out: Dict[str, List[str]]

    def lines(self) -> List[str]:
        """The summary screen."""
        lines = table(self.rows) if self.rows else []
        lines += [f"found {line}" for line in self.comparison]
        return lines + [f"warning: {warning}" for warning in self.warnings]

    def markdown(self) -> str:
        """The same as a page, with what was left out and why."""
        parts = ["# Data preparation", *(["```", *table(self.rows), "```"])]
        sections = {
            "Compared with the releases": self.comparison,
            "Warnings": self.warnings,
            **{f"Left out or changed: {k}": v for k, v in self.left_out.items()},
        }
        for title, lines in sections.items():
            if lines:
                parts += ["", f"## {title}", "", *(f"- {line}" for line in lines)]
        parts += ["", "Each entry: `dropped.tsv` in the first directory of a part."]
        return "\n".join(parts) + "\n"


def prepare(
    roots: Mapping[str, Path],
    data_dir: Path,
    *,
    settings: Settings = Settings(),
    cluster: Cluster = Cluster(),
    stage: int = 1,
    stop_stage: int = 5,
    say=print,
) -> Report:
    """Prepare every release that is given.

    Args:
        roots: Folder by key of ``corpora.RELEASES``.
        data_dir: Gets the sets of ``splits.SPLITS``, hub5e_00, hub5e_01, rt03s, their
            subsets, and lm.
        cluster: Where the shards are worked on; changes no result.
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
    job = _Preparation(dict(roots), Path(data_dir), settings, cluster, say)
    return job.run(stage, stop_stage)


class _Preparation:
    """One run: the sources, and what the stages share."""

    def __init__(
        self,
        roots: Dict[str, Path],
        data_dir: Path,
        settings: Settings,
        cluster: Cluster,
        say,
    ):
        self.roots = roots
        self.data_dir = data_dir
        self.settings = settings
        self.cluster = cluster
        self.profile = settings.text_profile()
        self.say = say
        self.sources: Sources = locate(roots)
        self.split = ""
        if self.sources.switchboard is not None:
            self.split = split_kind(settings, self.sources.switchboard.selection)
        self.report = Report([], [], [], [], {})
        self.found: Dict[str, float] = {}
        self._infos: Optional[Dict[Path, AudioInfo]] = None

    def run(self, stage: int, stop_stage: int) -> Report:
        for line in missing_releases(self.roots):
            self.say(f"  {line}")
        self.report.warnings += self.sources.warnings(self.roots)
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
        self._write_report()
        return self.report

    def check_inputs(self) -> None:
        """Open every audio header, so that a bad file stops at once."""
        stamp = self._stamp(1, "inputs", {}, self.sources.audio())
        if self._is_needed(1, stamp, []):
            equal = [
                str(path)
                for path, info in self.audio_infos().items()
                if sides_are_equal(path, info)
            ]
            warnings = []
            if equal:
                what = f"both sides of {len(equal)} call(s) are the same sound, first "
                warnings.append(f"{what}{equal[0]}: convert again from the release")
            stamp.write([], {"warnings": warnings})
        self._use(stamp.result(), "inputs")

    def audio_infos(self) -> Dict[Path, AudioInfo]:
        """Shape of each audio file; all bad ones are named in one error."""
        if self._infos is None:
            paths = self.sources.audio()
            self._infos = dict(zip(paths, check_audio_files(paths, self.cluster)))
        return self._infos

    def prepare_train(self) -> None:
        files = self.sources.switchboard
        if files is None:
            return
        valid_list = self.settings.valid_list
        inputs = files.inputs() + ([Path(valid_list)] if valid_list else [])
        settings = {**asdict(self.settings), "extend_eval_s": None, "concat": None}
        settings["split"] = self.split
        test_files = self._hub5e_00() if self.split == "test_as_cv" else None
        inputs += test_files.inputs() if test_files else []
        stamp = self._stamp(2, "train", settings, inputs)
        outputs = [self.data_dir / name for name in SPLITS[self.split]]
        if self._is_needed(2, stamp, outputs):
            test_set: Optional[List[Utterance]] = None
            if test_files is not None:
                _, test_set = read_evaluation_set(
                    test_files, self.audio_infos(), self.settings, PreparationLog()
                )
            result = write_training_sets(
                self.data_dir,
                files,
                self.audio_infos(),
                self.settings,
                self.cluster,
                test_set,
            )
            self._remove_older(stamp, result["sets"])
            stamp.write(outputs, result)
        self._use(stamp.result(), "training and selection sets")

    def _hub5e_00(self) -> Optional[EvalFiles]:
        sets = {files.name: files for files in self.sources.eval_sets}
        return sets.get("hub5e_00")

    def prepare_eval_sets(self) -> None:
        for files in self.sources.eval_sets:
            is_selected_on = self.split == "test_as_cv" and files.name == "hub5e_00"
            settings = {
                "extend_eval_s": self.settings.extend_eval_s,
                "acronyms": self.profile.acronyms,
                "concat": list(self.settings.concat),
                "selected_on": is_selected_on,
            }
            stamp = self._stamp(3, files.name, settings, files.inputs())
            before = (stamp.result() or {}).get("sets", [])
            outputs = [self.data_dir / name for name in before or [files.name]]
            if self._is_needed(3, stamp, outputs):
                mark = {MARK: MARK_TEXT} if is_selected_on else {}
                infos = self.audio_infos()
                result = write_evaluation_set(
                    self.data_dir, files, infos, self.settings, mark
                )
                self._remove_older(stamp, result["sets"])
                outputs = [self.data_dir / name for name in result["sets"]]
                stamp.write(outputs, result)
            self._use(stamp.result(), files.name)

    def _remove_older(self, stamp: Stamp, names: List[str]) -> None:
        """Sets that the same stage made with other settings would be mistaken."""
        for name in (stamp.result() or {}).get("sets", []):
            if name not in names:
                self.say(f"  removing {name}, which other settings made")
                shutil.rmtree(self.data_dir / name, ignore_errors=True)

    def prepare_text(self) -> None:
        """Training text and Fisher in ``lm``, see ``lm_text``."""
        train = self.data_dir / SPLITS[self.split or "list"][0]
        target = self.data_dir / "lm"
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
        self._use(stamp.result(), "text of language models")

    def validate(self) -> None:
        names = list(SPLITS[self.split]) if self.split else []
        for files in self.sources.eval_sets:
            names += set_names(files.name, self.settings)
        folders = [self.data_dir / n for n in names if (self.data_dir / n).is_dir()]
        if not folders and names:
            raise MissingInputError(
                f"none of {', '.join(names)} is there to validate",
                where=self.data_dir,
                next_step="run stages 2 and 3 first",
            )
        settings = {"rate_hz": self.settings.rate_hz}
        inputs = files_below(folders) + self.sources.audio()
        stamp = self._stamp(5, "valid", settings, inputs)
        if self._is_needed(5, stamp, []):
            for folder in folders:
                validate_data_dir(folder, rate=self.settings.rate_hz)
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

    def _use(self, result: Optional[Dict[str, Any]], part: str) -> None:
        """Take over rows, counts and warnings of a stage, done now or before."""
        if result is None:
            return
        self.report.rows += [SetRow(*row) for row in result.get("rows", [])]
        self.report.warnings += result.get("warnings", [])
        self.found.update(result.get("found", {}))
        log = result.get("log", [])
        if log:
            self.report.left_out[part] = log
        for line in log:
            self.say(f"  {line}")

    def _write_report(self) -> None:
        """``report.md``; not touched if it says the same already."""
        path, text = self.data_dir / REPORT, self.report.markdown()
        if not self.report.rows:
            return
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            with atomic_write(path) as file:
                file.write(text)
