"""Checks of the keys and types in an overlay, with line numbers."""

from typing import Any, FrozenSet, Mapping, Optional

from espnet_ext.errors import OptionError
from espnet_ext.experiments import parts
from espnet_ext.experiments.settings import Settings, leaves
from espnet_ext.names import nearest
from espnet_ext.recipe.config import RESERVED, TRAIN_SOURCES, known_keys
from espnet_ext.strict_yaml import Document

OURS = ("regime_conf", "experiment_conf")
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a word"}


def _class_of(
    key: str, content: Mapping[str, Any], settings: Settings
) -> Optional[str]:
    return content.get(key, settings.get(key))


def _options(
    section: str, content: Mapping[str, Any], settings: Settings
) -> Optional[FrozenSet[str]]:
    """Valid dotted options of a section, None if only ESPnet knows them."""
    if section == "regime_conf":
        return frozenset(parts.planned("regime", "regime"))
    key = section.removesuffix("_conf")
    name = _class_of(key, content, settings)
    return parts.valid_options(key, name) if isinstance(name, str) else None


def _has_inner(options: FrozenSet[str], option: str) -> bool:
    return any(other.startswith(f"{option}.") for other in options)


def _within(options: FrozenSet[str]) -> FrozenSet[str]:
    """The options and the mappings around them."""
    around = set(options)
    for option in options:
        steps = option.split(".")
        around.update(".".join(steps[:end]) for end in range(1, len(steps)))
    return frozenset(around)


def check_keys(
    document: Document, content: Mapping[str, Any], settings: Settings
) -> None:
    """Refuse keys that no part of the training has.

    Raises:
        OptionError: An unknown or reserved key, with file, line and nearest name.
    """
    top = set(known_keys(TRAIN_SOURCES)) | {*OURS}
    for key, value in content.items():
        if key in RESERVED:
            raise OptionError(
                f"{key!r} must not be set here: {RESERVED[key]}",
                where=document.where(key),
            )
        if len(top) > len(OURS) and key not in top:
            _refuse(document, (key,), str(key), top)
        if not str(key).endswith("_conf"):
            continue
        if not isinstance(value, dict):
            raise OptionError(
                f"{key!r} holds {type(value).__name__} {value!r}",
                where=document.where(key),
                expected="a mapping of options",
            )
        options = _options(key, content, settings)
        if options is None:
            continue
        valid = _within(options)
        for path, _ in leaves(value):
            steps = path.split(".")
            # below an option whose inner names no table lists anything goes
            above = [".".join(steps[:end]) for end in range(1, len(steps))]
            if any(a in options and not _has_inner(options, a) for a in above):
                continue
            if path not in valid:
                _refuse(document, (key, *steps), path, valid)


def _refuse(document: Document, path: tuple, name: str, valid: Any) -> None:
    near = nearest(name, valid)
    raise OptionError(
        f"unknown key {'.'.join(map(str, path))!r}",
        where=document.where(*path),
        expected=None if near else ", ".join(sorted(valid)),
        next_step=f"did you mean {near!r}?" if near else None,
    )


def check_types(
    document: Document, content: Mapping[str, Any], settings: Settings
) -> None:
    """Refuse values of another type than the base has at the same place.

    Raises:
        OptionError: With file, line and the expected type.
    """
    for path, value in leaves(content):
        old = settings.get(path)
        if old is None or value is None:
            continue
        if isinstance(old, Mapping):
            kinds: tuple = (dict,)
        elif isinstance(old, bool) or not isinstance(old, (int, float)):
            kinds = (type(old),)
        else:
            kinds = (int, float)
        fits = isinstance(value, kinds) and isinstance(value, bool) == (
            kinds == (bool,)
        )
        if not fits:
            raise OptionError(
                f"{path} is {value!r}",
                where=document.where(*path.split(".")),
                expected=KINDS.get(type(old), type(old).__name__)
                + f", such as {old!r}",
            )
