"""The original's peculiarities as options, and dated changes of behaviour.

Read from ``fidelity.yaml``; docs/differences.md lists them for readers.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.experiments.settings import Settings
from espnet_ext.names import nearest

TABLE = Path(__file__).with_name("fidelity.yaml")
CHOICES = ("original", "corrected")
BEHAVIOUR_VERSION = "2026-11-24"  # newest; a change of fidelity.yaml moves it on
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Conditions = Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Peculiarity:
    """One behaviour that exists in the original's and in a corrected form."""

    id: str
    paths: Tuple[str, ...]
    original: Any
    corrected: Any
    meaning: str
    source: str
    when: Conditions = ()


@dataclasses.dataclass(frozen=True)
class Change:
    """A later change: pinned experiments keep ``before``."""

    version: str
    path: str
    before: Any
    after: Any
    reason: str


@dataclasses.dataclass(frozen=True)
class FidelityTable:
    """Everything in fidelity.yaml."""

    options: Mapping[str, Peculiarity]
    changes: Tuple[Change, ...]


@functools.lru_cache(maxsize=None)
def load_table(path: Path = TABLE) -> FidelityTable:
    """Read and check the table.

    Raises:
        FormatError, OptionError: It is not as it should be, with the line.
    """
    document = strict_yaml.load(path)
    strict_yaml.refuse_unknown(document, ("options", "changes"))
    fields = [f.name for f in dataclasses.fields(Peculiarity) if f.name != "id"]
    options = {}
    for name, row in document.content["options"].items():
        strict_yaml.refuse_unknown(document, fields, "options", name)
        missing = set(fields) - {"when"} - set(row)
        if missing:
            raise FormatError(
                f"{name}: {', '.join(sorted(missing))} missing",
                where=document.where("options", name),
            )
        when = row.get("when", [])
        when = tuple([when] if isinstance(when, str) else when)
        options[name] = Peculiarity(
            id=name, **{**row, "paths": tuple(row["paths"]), "when": when}
        )
    changes = tuple(Change(**row) for row in document.content.get("changes") or [])
    return FidelityTable(options, changes)


def choice_of(wanted: Any, where: str) -> Dict[str, str]:
    """``original``, ``corrected`` or a mapping as one choice a peculiarity.

    Raises:
        OptionError: Another value, or an unknown name (with the nearest one).
    """
    table = load_table()
    if isinstance(wanted, str):
        wanted = {"all": wanted}
    if not isinstance(wanted, Mapping):
        raise OptionError(
            f"fidelity is {wanted!r}", where=where, expected=" or ".join(CHOICES)
        )
    for name, choice in wanted.items():
        if name != "all" and name not in table.options:
            near = nearest(str(name), table.options)
            raise OptionError(
                f"fidelity: unknown name {name!r}",
                where=where,
                next_step=f"did you mean {near!r}?" if near else None,
                expected=None if near else ", ".join(table.options),
            )
        if choice not in CHOICES:
            raise OptionError(
                f"fidelity of {name} is {choice!r}",
                where=where,
                expected=" or ".join(CHOICES),
            )
    return {
        name: wanted.get(name, wanted.get("all", "original")) for name in table.options
    }


def _holds(settings: Settings, condition: str) -> bool:
    path, equals, word = condition.partition("=")
    value = settings.get(path)
    return value == word if equals else bool(value)


def apply_fidelity(
    settings: Settings, choices: Mapping[str, str], pinned: Mapping[str, str]
) -> None:
    """Set the paths of all peculiarities that the model has.

    Args:
        settings: Changed in place.
        choices: From ``choice_of``.
        pinned: Paths that a file sets itself; these stay.
    """
    for peculiarity in load_table().options.values():
        conditions = peculiarity.when
        if conditions and not any(_holds(settings, c) for c in conditions):
            continue
        choice = choices[peculiarity.id]
        value = getattr(peculiarity, choice)
        for path in peculiarity.paths:
            section = path.split(".")[0]
            if value is None or path in pinned or section not in settings:
                continue
            if not settings.get(section.removesuffix("_conf"), True):
                continue  # decoder: null has no options
            settings.set(path, value, f"fidelity {choice}: {peculiarity.id}")


def check_version(version: Any, where: str) -> str:
    """A behaviour version that this code knows.

    Raises:
        OptionError: No date, or later than the newest one.
    """
    if not isinstance(version, str) or not DATE.fullmatch(version):
        raise OptionError(
            f"behaviour_version is {version!r}",
            where=where,
            expected=f'a date in quotes, "{BEHAVIOUR_VERSION}" or earlier',
        )
    if version > BEHAVIOUR_VERSION:
        raise OptionError(
            f"behaviour_version {version} is later than this code",
            where=where,
            expected=f"{BEHAVIOUR_VERSION} or earlier",
            next_step="install the version of espnet-ext that made the file",
        )
    return version


def apply_changes(
    settings: Settings, version: str, changes: Optional[List[Change]] = None
) -> None:
    """Give a pinned experiment what was meant at its time."""
    for change in load_table().changes if changes is None else changes:
        old = version < change.version
        if change.path in settings.values or change.path.split(".")[0] in settings:
            settings.set(
                change.path,
                change.before if old else change.after,
                f"behaviour {'before' if old else 'since'} {change.version}",
            )
