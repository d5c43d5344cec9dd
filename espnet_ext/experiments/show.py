"""Resolved experiments as text: annotated YAML, and differences in words."""

import json
import math
from typing import Any, List, Mapping, Optional

from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.resolve import Resolved
from espnet_ext.experiments.schedule import SAMPLES_PER_FRAME
from espnet_ext.experiments.settings import leaves

SECTIONS = (
    *("frontend", "specaug", "preprocessor", "encoder", "decoder", "model", "optim"),
    *("scheduler", "batch_type", "batch_bins", "accum_grad", "max_epoch"),
)


def yaml_value(value: Any) -> str:
    """One value as YAML 1.1 reads it back, on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        if math.isinf(value) or math.isnan(value):
            return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[str(value)]
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        if not e:
            return text
        mantissa += "" if "." in mantissa else ".0"
        sign = "" if exponent[0] in "+-" else "+"
        return f"{mantissa}e{sign}{exponent}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key}: {yaml_value(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    # JSON's strings are YAML's, also with characters that YAML reads otherwise
    return value if _is_plain(value) else json.dumps(value)


def _is_plain(text: str) -> bool:
    letters = text.replace("_", "").replace("/", "").replace(".yaml", "")
    reserved = "true false yes no on off null y n none ~".split()
    return letters.isalpha() and letters.isascii() and text.lower() not in reserved


def _ordered(config: Mapping[str, Any]) -> List[str]:
    def place(key: str) -> tuple:
        section = key.removesuffix("_conf")
        known = section in SECTIONS
        return (
            SECTIONS.index(section) if known else len(SECTIONS),
            section,
            key != section,
        )

    return sorted(config, key=place)


def _lines(
    key: str, value: Any, path: str, indent: str, origins: Optional[Mapping[str, str]]
) -> List[str]:
    if isinstance(value, Mapping) and value:
        lines = [f"{indent}{key}:"]
        for inner, item in value.items():
            lines += _lines(inner, item, f"{path}.{inner}", indent + "  ", origins)
        return lines
    text = f"{indent}{key}: {yaml_value(value)}"
    origin = origins.get(path) if origins is not None else None
    return [f"{text}  # {origin}" if origin else text]


def annotated_yaml(exp: Resolved, with_origins: bool = True) -> str:
    """The training configuration; the origin of each value as a comment."""
    origins = exp.origins if with_origins else None
    lines = []
    for key in _ordered(exp.config):
        lines += _lines(key, exp.config[key], key, "", origins)
    return "\n".join(lines) + "\n"


def described(switch: Switch, value: Any) -> str:
    """A switch in the catalogue's words: 'attdrop01: Dropout of ... (0.1)'."""
    token = switch.write(list(value) if isinstance(value, tuple) else value)
    text = f"{token:20} {switch.meaning}"
    return f"{text} ({yaml_value(value)})" if switch.reads else text


def _head(exp: Resolved) -> List[str]:
    lines = [f"# {exp.name}"]
    if exp.canonical != exp.name:
        lines.append(f"# switches: {exp.canonical}")
    frames = exp.get("batch_bins", 0) // SAMPLES_PER_FRAME
    lines += [
        f"# fidelity {exp.fidelity}, behaviour of {exp.behaviour_version}, "
        f"batches of {frames} frames of 10 ms",
        "#",
    ]
    for switch_id, value in exp.switches.values:
        lines.append(f"#   {described(load_catalogue().switches[switch_id], value)}")
    return lines


def show_screen(exp: Resolved, with_origins: bool = True) -> str:
    """Everything about one experiment; valid YAML, the configuration itself."""
    return "\n".join([*_head(exp), ""]) + "\n" + annotated_yaml(exp, with_origins)


def diff_screen(first: Resolved, second: Resolved) -> str:
    """What two experiments differ in: switches in words, then values."""
    catalogue = load_catalogue()
    one, two = dict(first.switches.values), dict(second.switches.values)
    lines = []
    for switch_id in catalogue.switches:
        if switch_id in one and one.get(switch_id) != two.get(switch_id):
            lines.append(
                f"- {described(catalogue.switches[switch_id], one[switch_id])}"
            )
        if switch_id in two and one.get(switch_id) != two.get(switch_id):
            lines.append(
                f"+ {described(catalogue.switches[switch_id], two[switch_id])}"
            )
    values = value_differences(first, second)
    if values:
        lines += ["", f"{'value':48} {'first':24} second"]
        lines += [f"{path:48} {a:24} {b}" for path, a, b in values]
    if not lines:
        return "no difference"
    return "\n".join(lines)


def value_differences(first: Resolved, second: Resolved) -> List[tuple]:
    """(path, first value, second value) of the configurations, names left out."""
    one, two = dict(leaves(first.config)), dict(leaves(second.config))
    found = []
    for path in sorted({*one, *two}):
        if path.startswith("experiment_conf."):
            continue
        if one.get(path) != two.get(path) or (path in one) != (path in two):
            cells = [yaml_value(x[path]) if path in x else "-" for x in (one, two)]
            found.append((path, *cells))
    return found
