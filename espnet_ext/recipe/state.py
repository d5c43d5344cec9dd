"""What is finished: one record per result, compared with what would be done now.

A *unit* is one result of a stage (a set, a token list, a model). Its record is a small
JSON file, written when the work starts (``started``) and when it is finished
(``done``). A unit is up to date if its record is done, its settings and the digests of
its inputs are the same, and its outputs still exist.
"""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_ext.errors import MissingInputError
from espnet_ext.files import atomic_write

CONTENT_LIMIT_BYTES = 64 << 20  # larger inputs are known by size and time alone
LARGE_SUFFIXES = (".wav", ".flac", ".sph", ".pth", ".ark", ".zip")
MAX_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Unit:
    """One result of a stage.

    Args:
        stage: Number of the stage.
        target: What is made, usually a directory; names the record.
        settings: Everything but files that the result depends on; flat, JSON values.
        inputs: Files that the result depends on.
        outputs: Files that exist when it is finished.
        root: Directory whose ``.state`` folder holds the record.
        made_by: Stage that makes the inputs, for the message when one is missing.
        kind: Tells results of one stage apart that have different settings: what is
            new is explained by the last result of the same kind.
    """

    stage: int
    target: str
    settings: Mapping[str, Any]
    inputs: Sequence[Path]
    outputs: Sequence[Path]
    root: Path
    made_by: Optional[int] = None
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a unit has to run, whether it may continue, and why."""

    run: bool
    reason: str
    resume: bool = False
    changed: Tuple[str, ...] = ()  # names of settings that differ from the record
    inputs_changed: bool = False


Due = Sequence[Tuple[Unit, Decision]]


def digest(path: Path) -> str:
    """A file's identity: its content, or size and time where that would be slow.

    Raises:
        FileNotFoundError: It does not exist.
    """
    stat = path.stat()
    if stat.st_size > CONTENT_LIMIT_BYTES or path.suffix in LARGE_SUFFIXES:
        return f"size {stat.st_size} time {stat.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _record_path(unit: Unit) -> Path:
    name = hashlib.sha256(unit.target.encode()).hexdigest()[:12]
    return unit.root / ".state" / f"{unit.stage:02d}_{name}.json"


def _read(path: Path) -> Optional[Dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None  # an unreadable record only means that the work is done again


def input_digests(unit: Unit) -> Dict[str, str]:
    """Digests of a unit's inputs by path.

    Raises:
        MissingInputError: An input does not exist; names the stage that makes it.
    """
    digests = {}
    for path in unit.inputs:
        try:
            digests[str(path)] = digest(Path(path))
        except FileNotFoundError:
            maker = unit.made_by
            raise MissingInputError(
                f"stage {unit.stage} needs this file and it does not exist",
                where=path,
                next_step=None if maker is None else f"./run.sh --stage {maker}",
            ) from None
    return digests


def _jsonable(settings: Mapping[str, Any]) -> Dict[str, Any]:
    return json.loads(json.dumps(dict(settings), default=str))


def setting_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> List[str]:
    """'name old -> new' for each setting that differs; '(none)' where absent."""
    return [
        f"{name} {_shown(old.get(name))} -> {_shown(new.get(name))}"
        for name in changed_names(old, new)
    ]


def changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> List[str]:
    """Settings that differ; absent and empty are the same."""
    return [
        name
        for name in sorted({*old, *new})
        if _shown(old.get(name)) != _shown(new.get(name))
    ]


def _shown(value: Any) -> Any:
    return "(none)" if value is None or value == "" else value


def _shorten(facts: Sequence[str]) -> str:
    more = f" and {len(facts) - MAX_SHOWN} more" if len(facts) > MAX_SHOWN else ""
    return ", ".join(facts[:MAX_SHOWN]) + more


def decide(unit: Unit, force: bool = False) -> Decision:
    """Compare a unit with its record.

    Raises:
        MissingInputError: An input does not exist.
    """
    inputs = input_digests(unit)
    settings = _jsonable(unit.settings)
    record = _read(_record_path(unit))
    if record is None:
        return Decision(True, _why_first(unit, settings))
    old_settings, old_inputs = record["settings"], record["inputs"]
    changes = setting_changes(old_settings, settings)
    changed = changed_names(old_settings, settings)
    for path in sorted({*old_inputs, *inputs}):
        if path not in old_inputs:
            changes.append(f"{path} is new")
        elif path not in inputs:
            changes.append(f"{path} is no longer used")
        elif old_inputs[path] != inputs[path]:
            changes.append(f"{path} has changed")
    if changes:
        return Decision(
            True,
            f"runs again: {_shorten(changes)}",
            changed=tuple(changed),
            inputs_changed=old_inputs != inputs,
        )
    if force:
        return Decision(True, "runs again: --force true")
    if record["status"] != "done":
        return Decision(True, "continues: it was not finished", resume=True)
    missing = [str(path) for path in unit.outputs if not Path(path).exists()]
    if missing:
        return Decision(True, f"runs again: missing {_shorten(missing)}")
    return Decision(False, f"unchanged since {record['time']}")


def _why_first(unit: Unit, settings: Mapping[str, Any]) -> str:
    """Without a record: name what differs from the last result of the same stage."""
    folder = unit.root / ".state"
    others = [
        (path.stat().st_mtime_ns, record)
        for path in folder.glob(f"{unit.stage:02d}_*.json")
        if (record := _read(path)) is not None and record.get("kind") == unit.kind
    ]
    if not others:
        return "runs for the first time"
    last = max(others, key=lambda item: item[0])[1]
    changes = setting_changes(last["settings"], settings)
    if not changes:
        return "runs for the first time"
    return f"runs again: {_shorten(changes)} ({last['target']} is kept)"


def begin(unit: Unit) -> None:
    """Record that a unit is being worked on, with its settings and inputs."""
    record = {
        "stage": unit.stage,
        "target": unit.target,
        "kind": unit.kind,
        "status": "started",
        "settings": _jsonable(unit.settings),
        "inputs": input_digests(unit),
        "outputs": [str(path) for path in unit.outputs],
    }
    _write(unit, record)


def finish(unit: Unit, seconds: float) -> None:
    """Record that a unit is finished.

    The inputs stay those of the start: one that changed meanwhile is noticed next time.

    Raises:
        MissingInputError: One of its outputs does not exist.
    """
    for path in unit.outputs:
        if not Path(path).exists():
            raise MissingInputError(
                f"stage {unit.stage} ended without writing this file", where=path
            )
    record = _read(_record_path(unit)) or {}
    record.update(
        status="done",
        time=time.strftime("%Y-%m-%dT%H:%M:%S"),
        seconds=round(seconds, 1),
    )
    _write(unit, record)


def _write(unit: Unit, record: Mapping[str, Any]) -> None:
    with atomic_write(_record_path(unit)) as file:
        json.dump(record, file, indent=1, ensure_ascii=False)
        file.write("\n")
