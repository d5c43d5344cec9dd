"""Whether the code has what a switch needs, found by resolving an example with it."""

import functools
from typing import Dict, List, Optional

from espnet_ext.experiments import parts
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.files import Conf
from espnet_ext.experiments.grammar import format_name
from espnet_ext.experiments.resolve import Resolved, resolve
from espnet_ext.experiments.show import value_differences
from espnet_ext.experiments.switches import switches_of

BY_SLOT = {"aux_ctc": "aux_ctc_fixed", "specaug": "specaug"}
EXAMPLE_VALUES = {"integer": 12, "layers": [4, 8], "scientific": 1e-3}


def example_value(switch: Switch) -> object:
    """A value for an example: the last that was tried, or any."""
    if not switch.reads:
        return True
    if switch.tried:
        return switch.tried[-1]
    return EXAMPLE_VALUES.get(switch.reads, 0.05)


def example(switch: Switch) -> str:
    """The shortest experiment name that has a switch."""
    catalogue = load_catalogue()
    values: Dict[str, object] = {switch.id: example_value(switch)}
    if switch.only:
        values[switch.only[0]] = True
    elif switch.slot != "family":
        values["start" if switch.group == "decoder" else "conformer"] = True
    if switch.id == "import_old_nick":
        values.pop("conformer", None)
    for slot in switch.needs:
        values[BY_SLOT[slot]] = example_value(catalogue.switches[BY_SLOT[slot]])
    if switch.id == "num_heads":
        values["model_size"] = 384
    return format_name(switches_of(values))


def _missing(exp: Resolved, paths: List[str]) -> List[str]:
    """Of some values, those that nothing in the code takes."""
    classes = parts.classes_of(exp.config)
    missing = []
    for path in paths:
        section, _, option = path.partition(".")
        key = section.removesuffix("_conf")
        if section == "regime_conf":
            if not parts.regime_option_exists(option):
                missing.append(path)
        elif key in classes and not parts.class_exists(key, classes[key]):
            missing.append(f"{key} {classes[key]}")
        elif option and (key, classes.get(key, "")) in parts.registered():
            if not parts.option_exists(key, classes[key], option):
                missing.append(path)
    return list(dict.fromkeys(missing))


@functools.lru_cache(maxsize=None)
def _resolved(name: str, conf: Conf) -> Resolved:
    return resolve(name, (), conf)


def missing_of(switch: Switch, conf: Conf) -> List[str]:
    """What a switch needs and the code does not have; empty: implemented."""
    exp = _resolved(example(switch), conf)
    if switch.slot in ("family", "criterion", "import"):
        own = [
            path
            for path in exp.origins
            if path.startswith(("encoder_conf.", "decoder_conf."))
        ]
        return _missing(exp, ["encoder", "decoder", "model", *own])
    without = {i: v for i, v in exp.switches.values if i != switch.id}
    base: Optional[Resolved] = _resolved(format_name(switches_of(without)), conf)
    changed = [path for path, _, _ in value_differences(base, exp)]
    # a value that the base has already (pre9's batches in pre10) is the switch's too
    token = switch.write(example_value(switch))
    changed += [p for p, o in exp.origins.items() if o in (token, f"regime {token}")]
    changed += [p for p in switch.config_paths if not p.startswith("experiment_conf")]
    return _missing(exp, [p for p in changed if p.split(".")[0] in exp.config])
