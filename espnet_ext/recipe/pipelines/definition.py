"""Reads a pipeline: conf/pipelines/NAME.yaml, or a file of the user's.

    base: NAME            # another pipeline, of which this file changes stages
    note: TEXT
    stages:
      NAME: {config: orig, set: {max_epoch: 3}, init: OTHER, alignment: OTHER}
      NAME: {align: OTHER, method: exact}
    loop: {stages: [NAME, NAME], times: 2}

A stage trains or aligns. With ``base``, keys of a stage replace those it had, and
``NAME: null`` takes the stage out. The stages of ``loop`` are the last ones and run
``times`` times, as NAME_1, NAME_2, ... ``last`` means the nearest earlier stage that
makes what is needed.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments.files import MAXIMUM_KEYS, find_conf
from espnet_ext.experiments.settings import leaves
from espnet_ext.names import nearest

FOLDER = "pipelines"
TOP_KEYS = ("base", "note", "stages", "loop")
TRAIN_KEYS = (
    *("config", "set", "alignment", "init", "part", "exclude", "init_weights"),
    *("weights", "inference_config"),
)
ALIGN_KEYS = ("align", "weights", "method", "output", "topology", "prior_scale")
LAST, GIVEN = "last", "given"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class PipelineStage:
    """One training or one alignment.

    Attributes:
        name: Unique in its pipeline.
        where: File and line, for messages.
        config: Training configuration or experiment; empty: that of run.sh's options.
        changes: At most ten values over it.
        alignment: Stage whose alignments are trained on; ``given``: those of
            ``--alignment_dir``.
        init: Stage whose weights training starts from.
        part: Only this part of them, for example ``encoder``.
        exclude: Parts that are not taken over, separated by commas.
        init_weights: File of these weights; empty: the best ones.
        align: Stage whose model aligns; empty: this stage trains.
        weights: File of the weights that decode or align; empty: the best ones.
        inference_config: Decoding configuration; empty: that of the options.
        method, output, topology, prior_scale: As ``--align_method`` and so on.
    """

    name: str
    where: str
    config: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    alignment: str = ""
    init: str = ""
    part: str = ""
    exclude: str = ""
    init_weights: str = ""
    align: str = ""
    weights: str = ""
    inference_config: str = ""
    method: str = ""
    output: str = ""
    topology: str = ""
    prior_scale: float = 0.0

    @property
    def trains(self) -> bool:
        """Whether it makes a model; else it makes alignments."""
        return not self.align

    @property
    def parents(self) -> Tuple[str, ...]:
        """Stages that it takes something from."""
        named = (self.align, self.init, self.alignment)
        return tuple(name for name in named if name and name != GIVEN)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Stages in the order in which they run, references resolved."""

    name: str
    stages: Tuple[PipelineStage, ...]

    def stage(self, name: str) -> PipelineStage:
        """One stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def ancestors(self, name: str) -> List[PipelineStage]:
        """All stages that a stage depends on, in order, itself last."""
        needed = {name}
        for stage in reversed(self.stages):
            if stage.name in needed:
                needed.update(stage.parents)
        return [stage for stage in self.stages if stage.name in needed]


def find_pipeline(name: str) -> Path:
    """The file of a pipeline.

    Raises:
        OptionError: There is none of this name; names the nearest.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    folder = find_conf().folder / FOLDER
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        near = nearest(name, known)
        raise OptionError(
            f"there is no pipeline {name!r}",
            where="--pipeline",
            expected=f"{', '.join(known)}, or a .yaml file",
            next_step=f"did you mean {near}?" if near else None,
        )
    return folder / f"{name}.yaml"


def load_pipeline(name: str, repeat: int = 0) -> Pipeline:
    """Read, check and expand a pipeline.

    Args:
        name: In conf/pipelines, or a file.
        repeat: How often its loop runs; 0: as it says.

    Raises:
        OptionError: An unknown name or key, or a reference to a stage that does not
            come before or makes something else; with file and line.
        MissingInputError, FormatError: As strict_yaml.load.
    """
    path = find_pipeline(name)
    stages, loop = _read(path, [])
    expanded = _expand(stages, loop, repeat, path)
    made: List[PipelineStage] = []
    for stage in expanded:
        made.append(_linked(stage, made))
    if not any(stage.trains for stage in made):
        raise OptionError("no stage trains a model", where=path)
    return Pipeline(path.stem, tuple(made))


def _read(path: Path, above: List[Path]) -> Tuple[Dict[str, PipelineStage], Dict]:
    """Stages by name and the loop of a file, on those of its base."""
    if path in above:
        raise OptionError("the pipeline is its own base", where=path)
    document = strict_yaml.load(path)
    strict_yaml.refuse_unknown(document, TOP_KEYS)
    stages: Dict[str, PipelineStage] = {}
    loop: Dict[str, Any] = {}
    content = document.content
    if "base" in content:
        stages, loop = _read(find_pipeline(str(content["base"])), [*above, path])
    named = content.get("stages") or {}
    if not isinstance(named, dict) or not (named or stages):
        raise OptionError("there are no stages", where=document.where("stages"))
    for name, keys in named.items():
        where = document.where("stages", name)
        if not NAME.fullmatch(str(name)) or name in (LAST, GIVEN):
            raise OptionError(
                f"{name!r} is no name of a stage",
                where=where,
                expected="small letters, digits and _, not 'last' or 'given'",
            )
        if keys is None:
            if stages.pop(name, None) is None:
                raise OptionError(f"there is no stage {name!r} to take out", where=where)
            continue
        stages[name] = _stage(document, name, keys, stages.get(name))
    loop = _loop(document, stages) if "loop" in content else loop
    return stages, loop


def _stage(
    document: strict_yaml.Document, name: str, keys: Any, base: Any
) -> PipelineStage:
    """One stage, on the one of the same name in the base."""
    where = document.where("stages", name)
    if not isinstance(keys, dict):
        raise OptionError(f"stage {name} holds {keys!r}", where=where, expected="keys")
    aligns = "align" in keys or (base is not None and bool(base.align))
    strict_yaml.refuse_unknown(
        document, ALIGN_KEYS if aligns else TRAIN_KEYS, "stages", name
    )
    values = dict(keys)
    for key, value in values.items():
        kind = {"set": dict, "prior_scale": (int, float)}.get(key, str)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise OptionError(
                f"{key} is {value!r}",
                where=document.where("stages", name, key),
                expected={"set": "a mapping", "prior_scale": "a number"}.get(key, "text"),
            )
    changes = values.pop("set", None)
    if changes is not None:
        count = len(list(leaves(changes)))
        if count > MAXIMUM_KEYS:
            raise OptionError(
                f"sets {count} values",
                where=document.where("stages", name, "set"),
                expected=f"at most {MAXIMUM_KEYS}",
                next_step="write a training configuration and name it as config",
            )
        values["changes"] = changes
    if base is not None:
        return dataclasses.replace(base, where=where, **values)
    return PipelineStage(name, where, **values)


def _loop(document: strict_yaml.Document, stages: Mapping[str, Any]) -> Dict[str, Any]:
    """Names and times of the loop, checked."""
    loop = document.content["loop"]
    where = document.where("loop")
    names = loop.get("stages") if isinstance(loop, dict) else None
    if not isinstance(names, list) or names != list(stages)[-len(names) :]:
        raise OptionError(
            f"the loop is {loop!r}",
            where=where,
            expected="stages: [the names of the last stages, in order], times: 2",
        )
    strict_yaml.refuse_unknown(document, ("stages", "times"), "loop")
    times = loop.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise OptionError(f"times is {times!r}", where=where, expected="at least 1")
    return {"stages": names, "times": times}


def _expand(
    stages: Mapping[str, PipelineStage],
    loop: Mapping[str, Any],
    repeat: int,
    path: Path,
) -> List[PipelineStage]:
    """The stages with those of the loop as often as it runs."""
    if not loop:
        if repeat:
            raise OptionError(
                "this pipeline has no loop", where=f"--pipeline_repeat: {path}"
            )
        return list(stages.values())
    inside = [name for name in loop["stages"] if name in stages]
    made = [stage for name, stage in stages.items() if name not in inside]
    for number in range(1, (repeat or loop["times"]) + 1):
        for name in inside:
            stage = stages[name]
            renamed = {
                key: f"{getattr(stage, key)}_{number}"
                for key in ("align", "init", "alignment")
                if getattr(stage, key) in inside
            }
            made.append(
                dataclasses.replace(stage, name=f"{name}_{number}", **renamed)
            )
    return made


def _linked(stage: PipelineStage, before: Sequence[PipelineStage]) -> PipelineStage:
    """A stage with ``last`` replaced by names, and its references checked."""
    found = {}
    for key, trains in (("align", True), ("init", True), ("alignment", False)):
        name = getattr(stage, key)
        if not name or (key == "alignment" and name == GIVEN):
            continue
        fitting = [other.name for other in before if other.trains == trains]
        what = "trains a model" if trains else "makes alignments"
        if name == LAST and fitting:
            found[key] = fitting[-1]
        elif name not in fitting:
            near = nearest(name, fitting)
            raise OptionError(
                f"stage {stage.name}: {key} is {name!r}, but no earlier stage of this "
                f"name {what}",
                where=stage.where,
                expected=f"one of {', '.join(fitting)}" if fitting else None,
                next_step=(
                    f"did you mean {near!r}?"
                    if near
                    else None if fitting else f"put a stage that {what} before it"
                ),
            )
    for key in ("part", "exclude", "init_weights"):
        if getattr(stage, key) and not stage.init:
            raise OptionError(f"stage {stage.name}: {key} without init", where=stage.where)
    return dataclasses.replace(stage, **found)
