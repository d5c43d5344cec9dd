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
from typing import Any, Dict, List, Mapping, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments.files import MAXIMUM_KEYS, find_conf
from espnet_ext.experiments.settings import leaves
from espnet_ext.names import nearest
from espnet_ext.recipe.pipelines.definition import (
    GIVEN,
    LAST,
    Pipeline,
    PipelineStage,
    expand,
    linked,
)

FOLDER = "pipelines"
TOP_KEYS = ("base", "note", "stages", "loop")
TRAIN_KEYS = (
    *("config", "set", "alignment", "init", "part", "exclude", "init_weights"),
    *("weights", "inference_config"),
)
ALIGN_KEYS = (
    *("align", "weights", "method", "output", "topology", "dtype", "prior_scale"),
)
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


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
    expanded = expand(stages, loop, repeat, path)
    made: List[PipelineStage] = []
    for stage in expanded:
        made.append(linked(stage, made))
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
                raise OptionError(
                    f"there is no stage {name!r} to take out", where=where
                )
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
                expected={"set": "a mapping", "prior_scale": "a number"}.get(
                    key, "text"
                ),
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
