"""Configuration files checked before any stage runs, and read as flat settings.

The valid keys are found by reading ESPnet's and our own source text for the options it
declares: importing ESPnet to ask its parser would take ten seconds.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

import yaml

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.names import nearest
from espnet_ext.recipe.context import words
from espnet_ext.recipe.options import RecipeOptions

OPTION = re.compile(r"""["']--([a-z][a-z0-9_]*)(?:\{\w+\})?(_conf)?["']""")
CHOICE = re.compile(r"""ClassChoices\(\s*(?:name=)?["'](\w+)["']""")
NUMBER_AS_TEXT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
TRAIN_SOURCES = {
    "espnet2": ("tasks/abs_task.py", "tasks/asr.py", "train/trainer.py"),
    "espnet_ext": ("tasks/*.py", "train/*.py", "bin/asr_train.py"),
}
LM_SOURCES = {"espnet2": ("tasks/abs_task.py", "tasks/lm.py", "train/trainer.py")}
DECODE_SOURCES = {
    "espnet2": ("bin/asr_inference.py",),
    "espnet_ext": ("bin/asr_inference.py",),
}
# set by the recipe itself: in a file they would be overridden or do harm
RESERVED = {
    "output_dir": "the recipe names the directory (--asr_tag, --asr_exp)",
    "token_list": "stage 5 makes it (--token_type, --nbpe)",
    "normalize": "stage 11 adds it (--feats_normalize), stage 10 must not have it",
}


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML readers take silently."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> Dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key_node.value!r} stands twice", key_node.start_mark
            )
        seen.add(key_node.value)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_yaml(path: Path) -> Dict[str, Any]:
    """A mapping read from a YAML file.

    Raises:
        MissingInputError: No such file; names one with a similar name.
        FormatError: Not YAML, a key twice, no mapping, or a number that YAML takes for
            text (1e-3); with its line.
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
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot be read: {error}", where=path) from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path} line {mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise FormatError(
            f"not valid YAML: {problem}", where=where, expected="key: value"
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise FormatError(
            f"holds {type(content).__name__}", where=path, expected="key: value lines"
        )
    for name, value in flatten(content).items():
        if isinstance(value, str) and NUMBER_AS_TEXT.fullmatch(value):
            raise FormatError(
                f"{name}: {value} is text to YAML",
                where=f"{path} line {_line_of(text, name.split('.')[-1])}",
                expected="a number with a dot and a sign, such as 1.0e-3",
            )
    return content


def _line_of(text: str, key: str) -> int:
    pattern = re.compile(rf"""(^|[\s{{,])["']?{re.escape(key)}["']?\s*:""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            return number
    return 1


def flatten(content: Any, prefix: str = "") -> Dict[str, Any]:
    """Nested mappings as 'outer.inner' -> value."""
    if not isinstance(content, dict):
        return {prefix: content}
    flat: Dict[str, Any] = {}
    for key, value in content.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def known_keys(sources: Dict[str, Sequence[str]]) -> FrozenSet[str]:
    """Option names that the source files declare (empty without ESPnet)."""
    found = set()
    for package, patterns in sources.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return frozenset()
        root = Path(spec.origin).parent
        for file in (f for pattern in patterns for f in sorted(root.glob(pattern))):
            text = file.read_text(encoding="utf-8")
            for name, conf in OPTION.findall(text):
                found.update(f"{name}{suffix}{conf}" for suffix in ("", "2", "3"))
            for name in CHOICE.findall(text):
                found.update((name, f"{name}_conf"))
    return frozenset(found)


def check_config(
    path: Path, sources: Dict[str, Sequence[str]], reserved: Iterable[str] = ()
) -> None:
    """Refuse a configuration file with unknown or reserved top-level keys.

    Raises:
        MissingInputError, FormatError: As load_yaml.
        OptionError: An unknown key, with its line and the nearest valid one.
    """
    content = load_yaml(path)
    valid = known_keys(sources)
    text = Path(path).read_text(encoding="utf-8")
    for key, value in content.items():
        where = f"{path} line {_line_of(text, str(key))}"
        if valid and key not in valid:
            close = nearest(str(key), valid)
            raise OptionError(
                f"unknown key {key!r}",
                where=where,
                next_step=f"did you mean {close!r}?" if close else None,
            )
        if key in reserved and value is not None:
            raise OptionError(
                f"{key!r} must not be set here: {RESERVED[key]}", where=where
            )
        if str(key).endswith("_conf") and not isinstance(value, (dict, type(None))):
            raise OptionError(
                f"{key!r} holds {type(value).__name__} {value!r}",
                where=where,
                expected="a mapping of constructor arguments",
            )


def check_all(options: RecipeOptions, stages: Sequence[int]) -> None:
    """Check the configuration files that the selected stages will read."""
    if options.asr_config and {10, 11}.intersection(stages):
        check_config(Path(options.asr_config), TRAIN_SOURCES, RESERVED)
    if options.lm_config and {6, 7}.intersection(stages):
        check_config(Path(options.lm_config), LM_SOURCES, ("output_dir", "token_list"))
    if options.inference_config and 12 in stages:
        check_config(Path(options.inference_config), DECODE_SOURCES)
    for name in ("asr_args", "lm_args", "inference_args", "local_data_opts"):
        words(name, getattr(options, name))


def settings_of(
    config: str, arguments: str, only: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """A configuration and the arguments that override it as flat settings.

    Args:
        config: YAML file, or empty.
        arguments: ``--key value`` and ``--key_conf name=value`` as on a command line.
        only: Top-level keys to keep; None for all.
    """
    flat = flatten(load_yaml(Path(config))) if config else {}
    for key, value in _pairs(words("arguments", arguments)):
        if key.endswith("_conf") and "=" in value:
            name, _, value = value.partition("=")
            key = f"{key}.{name}"
        flat[key] = value
    if only is None:
        return flat
    return {k: v for k, v in flat.items() if k.partition(".")[0] in only}


def _pairs(arguments: List[str]) -> Iterable[Tuple[str, str]]:
    key = ""
    for word in arguments:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            if equals:
                yield key, value
        elif key:
            yield key, word
