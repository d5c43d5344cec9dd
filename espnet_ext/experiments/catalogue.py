"""The switch catalogue: what every token of an experiment name means.

Read from ``catalogue.yaml``, which documentation, name grammar and resolution share.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import FormatError
from espnet_ext.experiments.values import NO_VALUE, READERS, Reader, split_token

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
TYPES = ("flag", "int", "float", "layers", "range")


@dataclasses.dataclass(frozen=True)
class Switch:
    """One token of the names. The fields are explained at the top of catalogue.yaml."""

    id: str
    group: str
    token: str
    meaning: str
    source: str
    slot: str
    shown: str
    reads: Optional[str] = None
    type: str = "flag"
    neutral: Any = None
    tried: Tuple[Any, ...] = ()
    between: Optional[Tuple[float, float]] = None
    sets: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sets_attention: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    computed: bool = False
    paths: Tuple[str, ...] = ()
    base: Optional[str] = None
    regime: Optional[str] = None
    default_regime: Optional[str] = None
    prefix: bool = False
    only: Tuple[str, ...] = ()
    without: Tuple[str, ...] = ()
    needs: Tuple[str, ...] = ()
    excludes: Tuple[str, ...] = ()
    in_readme: bool = False
    readme: Optional[str] = None
    files: Optional[str] = None
    traps: Optional[str] = None

    @property
    def reader(self) -> Reader:
        """How the value in the token is read."""
        return READERS[self.reads] if self.reads else NO_VALUE

    @functools.cached_property
    def pattern(self) -> "re.Pattern[str]":
        """The whole token as a regular expression; group 1 is the value."""
        before, after = split_token(self.token)
        return re.compile(
            f"{re.escape(before)}({self.reader.pattern}){re.escape(after)}", re.ASCII
        )

    def write(self, value: Any) -> str:
        """The token with its value."""
        return self.token.replace("{}", self.reader.write(value))

    @property
    def config_paths(self) -> Tuple[str, ...]:
        """Where the switch acts in the training configuration."""
        return tuple(dict.fromkeys([*self.sets, *self.paths]))


@dataclasses.dataclass(frozen=True)
class Group:
    """A chapter of the catalogue."""

    title: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All switches, and the order in which a canonical name has their tokens."""

    groups: Mapping[str, Group]
    switches: Mapping[str, Switch]
    name_order: Tuple[str, ...]

    def rank(self, switch: Switch) -> int:
        """Place of a switch in a canonical name."""
        key = switch.id if switch.id in self.name_order else switch.slot
        return self.name_order.index(key)

    def of_slot(self, slot: str) -> List[Switch]:
        """The switches that exclude each other in one slot."""
        return [s for s in self.switches.values() if s.slot == slot]


_FIELDS = {field.name: field for field in dataclasses.fields(Switch)}
_REQUIRED = ("group", "token", "meaning", "source")
_KINDS = {
    "in_readme": bool,
    "computed": bool,
    "prefix": bool,
    "sets": dict,
    "sets_attention": dict,
    **dict.fromkeys("tried between paths only without needs excludes".split(), list),
    **dict.fromkeys(
        "group slot token shown reads type base regime default_regime "
        "meaning source readme files traps".split(),
        str,
    ),
}


def _switch(document: strict_yaml.Document, name: str) -> Switch:
    row = document.content["switches"][name]
    where = document.where("switches", name)

    def refuse(found: str, expected: str) -> None:
        raise FormatError(f"switch {name}: {found}", where=where, expected=expected)

    if not isinstance(row, dict):
        refuse(f"holds {type(row).__name__}", "key: value lines")
    strict_yaml.refuse_unknown(document, [*_KINDS, "neutral"], "switches", name)
    for key in _REQUIRED:
        if key not in row:
            refuse(f"{key} is missing", ", ".join(_REQUIRED))
    for key, value in row.items():
        if key in _KINDS and not isinstance(value, _KINDS[key]):
            refuse(f"{key} is {value!r}", _KINDS[key].__name__)
    reads = row.get("reads")
    if (reads is not None) != ("{}" in row["token"]):
        refuse("token and reads do not fit", "{} in the token exactly if it has reads")
    if reads is not None and reads not in READERS:
        refuse(f"reads {reads!r}", ", ".join(READERS))
    if row.get("type", "flag") not in TYPES:
        refuse(f"type {row['type']!r}", ", ".join(TYPES))
    acts = ("sets", "computed", "base", "regime", "default_regime")
    if not any(row.get(key) for key in acts):
        refuse("acts on nothing", f"one of {', '.join(acts)}")
    values = {
        key: tuple(value) if isinstance(value, list) and key != "neutral" else value
        for key, value in row.items()
    }
    values.setdefault("slot", name)
    values.setdefault("shown", row["token"])
    return Switch(id=name, **values)


@functools.lru_cache(maxsize=None)
def load_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read and check a catalogue.

    Raises:
        FormatError, OptionError: A row is not as it should be; with its line.
    """
    document = strict_yaml.load(path)
    strict_yaml.refuse_unknown(document, ("groups", "switches", "name_order"))
    groups: Dict[str, Group] = {}
    for name, row in document.content.get("groups", {}).items():
        strict_yaml.refuse_unknown(document, ("title", "meaning"), "groups", name)
        groups[name] = Group(**row)
    switches = {
        name: _switch(document, name) for name in document.content.get("switches", {})
    }
    slots = {switch.slot for switch in switches.values()}
    for name, switch in switches.items():
        where = document.where("switches", name)
        if switch.group not in groups:
            raise FormatError(
                f"switch {name}: unknown group {switch.group!r}",
                where=where,
                expected=", ".join(groups),
            )
        for key in ("only", "without", "excludes"):
            for other in set(getattr(switch, key)) - set(switches):
                raise FormatError(f"switch {name}: {key} {other!r}?", where=where)
        for other in set(switch.needs) - slots:
            raise FormatError(f"switch {name}: needs {other!r}?", where=where)
    tokens = [(switch.token, switch.reads) for switch in switches.values()]
    if len(set(tokens)) != len(tokens):
        raise FormatError("two switches have one token", where=path)
    order = tuple(document.content.get("name_order", ()))
    for switch in switches.values():
        if switch.slot not in order and switch.id not in order:
            raise FormatError(f"name_order lacks {switch.slot!r}", where=path)
    return Catalogue(groups, switches, order)
