"""YAML read strictly: plain values only, each key once, bounded, with line numbers.

A document becomes dicts, lists and scalars; nothing else. Python tags, merge keys, a
key that stands twice, a number that YAML takes for text (1e-3), deep nesting and
aliases that expand to large trees are refused with file and line. The parser's events
are read one by one instead of building objects, so a hostile file costs neither
memory nor recursion.
"""

import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

import yaml

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.names import nearest

MAXIMUM_BYTES = 1_000_000
MAXIMUM_DEPTH = 20
MAXIMUM_VALUES = 50_000  # aliases counted as often as they are used
NUMBER_AS_TEXT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = {TAG + name for name in ("null", "bool", "int", "float", "str")}
# libyaml's parser where the wheel has it; both only yield events, no objects
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
_SCALARS = yaml.constructor.SafeConstructor()

Path_ = Tuple[Union[str, int], ...]


class Document(NamedTuple):
    """A mapping and where its parts stand.

    Attributes:
        content: Plain dicts, lists and scalars.
        lines: Line number of every key and list item, by its path.
        name: Shown in messages, usually the file.
    """

    content: Dict[str, Any]
    lines: Dict[Path_, int]
    name: str

    def where(self, *path: Union[str, int]) -> str:
        """``file line 12`` of a key, or of the nearest key around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name} line {self.lines[path]}" if path else self.name


class _Open(NamedTuple):
    """A collection that is being read."""

    value: Union[Dict, List]
    path: Path_
    anchor: Optional[str]
    first_count: int


class _Reader:
    """Builds one document out of parser events."""

    def __init__(self, name: str):
        self.name = name
        self.lines: Dict[Path_, int] = {}
        self.anchors: Dict[str, Tuple[Any, int]] = {}
        self.open: List[_Open] = []
        self.keys: List[Any] = []  # the waiting key of each open mapping
        self.count = 0
        self.root: Any = None

    def fail(self, problem: str, line: int, expected: Optional[str] = None) -> None:
        raise FormatError(
            f"not valid YAML here: {problem}",
            where=f"{self.name} line {line}",
            expected=expected,
        )

    def grow(self, values: int, line: int) -> None:
        self.count += values
        if self.count > MAXIMUM_VALUES:
            self.fail(
                f"more than {MAXIMUM_VALUES} values, aliases expanded", line, "fewer"
            )

    def place(self, line: int) -> Path_:
        """Path of the value that comes next; notes its line."""
        if not self.open:
            return ()
        top = self.open[-1]
        step = len(top.value) if isinstance(top.value, list) else self.keys[-1]
        path = (*top.path, step)
        self.lines.setdefault(path, line)
        return path

    def put(self, value: Any, line: int) -> None:
        """A complete value: into the open collection, or the root."""
        if not self.open:
            self.root = value
        elif isinstance(self.open[-1].value, list):
            self.open[-1].value.append(value)
        else:
            self.open[-1].value[self.keys[-1]] = value
            self.keys[-1] = None

    def wants_key(self) -> bool:
        return (
            bool(self.open)
            and isinstance(self.open[-1].value, dict)
            and self.keys[-1] is None
        )

    def start(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", TAG + "map", TAG + "seq"):
            self.fail(f"tag {event.tag}", line, "plain values without tags")
        if self.wants_key():
            self.fail("a list or mapping as key", line, "key: value")
        if len(self.open) >= MAXIMUM_DEPTH:
            self.fail(f"nested deeper than {MAXIMUM_DEPTH}", line)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self.grow(1, line)
        path = self.place(line)
        self.open.append(_Open({} if mapping else [], path, event.anchor, self.count))
        if mapping:
            self.keys.append(None)

    def end(self, line: int) -> None:
        done = self.open.pop()
        if isinstance(done.value, dict):
            self.keys.pop()
        if done.anchor:
            self.anchors[done.anchor] = (done.value, self.count - done.first_count + 1)
        self.put(done.value, line)

    def key(self, event: Any, line: int) -> None:
        name = event.value
        top = self.open[-1]
        if name == "<<" and event.implicit[0]:
            self.fail("merge key <<", line, "the keys themselves")
        if name in top.value:
            self.fail(f"{name!r} stands twice", line, "each key once")
        self.lines[(*top.path, name)] = line
        self.keys[-1] = name

    def scalar(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", TAG + "str"):
            self.fail(f"tag {event.tag}", line, "plain values without tags")
        if self.wants_key():
            self.key(event, line)
            return
        self.grow(1, line)
        value = self.constructed(event, line)
        self.place(line)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.put(value, line)

    def constructed(self, event: Any, line: int) -> Any:
        if not event.implicit[0]:  # quoted, or tagged as text
            return event.value
        tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, (True, False))
        if tag not in KNOWN_TAGS:  # dates, '=': text here
            return event.value
        if tag == TAG + "str" and NUMBER_AS_TEXT.fullmatch(event.value):
            raise FormatError(
                f"{event.value} is text to YAML",
                where=f"{self.name} line {line}",
                expected="a number with a dot and a sign, such as 1.0e-3",
            )
        try:
            node = yaml.ScalarNode(tag, event.value)
            return _SCALARS.yaml_constructors[tag](_SCALARS, node)
        except (ValueError, OverflowError):
            self.fail(f"{event.value!r} is no number", line)

    def alias(self, event: Any, line: int) -> None:
        if self.wants_key():
            self.fail("an alias as key", line, "key: value")
        if event.anchor not in self.anchors:
            self.fail(f"alias *{event.anchor} without its value", line)
        value, size = self.anchors[event.anchor]
        self.grow(size, line)
        self.place(line)
        self.put(_copy(value), line)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def parse(text: str, name: str) -> Document:
    """The mapping that a YAML text holds; an empty text is an empty mapping.

    Raises:
        FormatError: Anything listed at the top of this file, with its line.
    """
    if len(text) > MAXIMUM_BYTES:
        raise FormatError(
            f"holds {len(text)} characters", where=name, expected=f"{MAXIMUM_BYTES}"
        )
    reader = _Reader(name)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    reader.fail("a second document", line, "one document")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                reader.start(event, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                reader.end(line)
            elif isinstance(event, yaml.ScalarEvent):
                reader.scalar(event, line)
            elif isinstance(event, yaml.AliasEvent):
                reader.alias(event, line)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise FormatError(
            f"not valid YAML: {problem}",
            where=name if mark is None else f"{name} line {mark.line + 1}",
            expected="key: value",
        ) from None
    if reader.root is None:
        return Document({}, {}, name)
    if not isinstance(reader.root, dict):
        raise FormatError(
            f"holds {type(reader.root).__name__}",
            where=name,
            expected="key: value lines",
        )
    return Document(reader.root, reader.lines, name)


def load(path: Union[str, Path]) -> Document:
    """The mapping of a YAML file.

    Raises:
        MissingInputError: No such file; names one with a similar name.
        FormatError: As parse, or it cannot be read as UTF-8 text.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        close = nearest(path.name, [file.name for file in path.parent.glob("*.yaml")])
        raise MissingInputError(
            "configuration file not found",
            where=path,
            next_step=f"did you mean {path.with_name(close)}?" if close else None,
        ) from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=path) from None
    return parse(text, str(path))


def refuse_unknown(document: Document, valid: Iterable[str], *path: str) -> None:
    """Refuse keys that are not among ``valid`` in the mapping at ``path``.

    Raises:
        OptionError: An unknown key, with its line and the nearest valid one.
    """
    valid = list(valid)
    mapping: Any = document.content
    for step in path:
        mapping = mapping[step]
    for key in mapping:
        if key not in valid:
            close = nearest(str(key), valid)
            raise OptionError(
                f"unknown key {key!r}",
                where=document.where(*path, key),
                expected=None if close else ", ".join(sorted(valid)),
                next_step=f"did you mean {close!r}?" if close else None,
            )
