"""Experiment names <-> sets of switches.

    conformer_ln_pre10_d384_h6_blstmf2_specaug  <->  {conformer, layer_norm, pre10, ...}

Tokens may stand in any order. One of the tokens may be a baseline, a user's name for a
set of switches; the others then replace the baseline's switches of the same slot.

Source: reference/parts.md sections 0 and 2.
"""

import dataclasses
import functools
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.names import nearest

MAXIMUM_NAME = 255  # a name becomes a directory
ALLOWED = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
BASELINE = re.compile(r"[a-z]+[a-z0-9]*", re.ASCII)
Baselines = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Switches:
    """What an experiment name says.

    Attributes:
        values: (switch id, value) in the catalogue's order.
    """

    values: Tuple[Tuple[str, Any], ...]

    def get(self, switch_id: str, default: Any = None) -> Any:
        """Value of a switch, ``default`` if it is off."""
        return dict(self.values).get(switch_id, default)

    def __contains__(self, switch_id: str) -> bool:
        return any(name == switch_id for name, _ in self.values)

    def ids(self) -> List[str]:
        """Switches that are on."""
        return [name for name, _ in self.values]

    def slot(self, slot: str) -> Optional[Tuple[Switch, Any]]:
        """The switch that fills a slot and its value."""
        for switch_id, value in self.values:
            switch = load_catalogue().switches[switch_id]
            if switch.slot == slot:
                return switch, value
        return None


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def switches_of(values: Mapping[str, Any]) -> Switches:
    """A set of switches in the catalogue's order."""
    order = list(load_catalogue().switches)
    ordered = sorted(values.items(), key=lambda item: order.index(item[0]))
    return Switches(tuple((name, _frozen(value)) for name, value in ordered))


def refuse(name: str, found: str, **hints: Any) -> OptionError:
    """An error about one part of a name."""
    return OptionError(found, where=f"experiment {shortened(name)}", **hints)


def shortened(name: str) -> str:
    """A name for a message, cut if somebody passed a whole text."""
    return repr(name if len(name) <= MAXIMUM_NAME else name[:60] + "...")


@functools.lru_cache(maxsize=None)
def _lookup() -> Tuple[Dict[str, List[Switch]], List[Switch]]:
    """Switches without a value by their token, and those with one."""
    literal: Dict[str, List[Switch]] = {}
    valued = []
    for switch in load_catalogue().switches.values():
        if switch.reads:
            valued.append(switch)
        else:
            literal.setdefault(switch.token, []).append(switch)
    return literal, valued


def _match(token: str) -> Optional[Tuple[Switch, str]]:
    literal, valued = _lookup()
    if token in literal:
        return literal[token][0], ""
    for switch in valued:
        found = switch.pattern.fullmatch(token)
        if found:
            return switch, found[1]
    return None


def _longest_parts() -> int:
    literal, _ = _lookup()
    return max(token.count("_") for token in literal) + 1


def example_tokens() -> List[str]:
    """Every token once, with a value that was tried: what a typo is compared with."""
    tokens = []
    for switch in load_catalogue().switches.values():
        examples = switch.tried or ((12,) if switch.reads == "integer" else (0.1,))
        if switch.reads is None:
            tokens.append(switch.token)
        else:
            tokens += [
                switch.write(list(e) if isinstance(e, tuple) else e) for e in examples
            ]
    return tokens


def _unknown(name: str, token: str, baselines: Baselines) -> OptionError:
    digits = re.sub(r"\d[\d_e]*", "", token)
    for switch in _lookup()[1]:
        shape = switch.token.replace("{}", "")
        if digits and digits == re.sub(r"\d+", "", shape):
            return refuse(
                name,
                f"token {token!r} has a value that cannot be read",
                expected=f"{switch.shown}, the value written as "
                f"{switch.reader.example}",
            )
    valid = [*example_tokens(), *baselines]
    close = [near for near in (nearest(token, valid),) if near]
    return refuse(
        name,
        f"unknown token {token!r}",
        next_step=f"did you mean {close[0]!r}?" if close else "espnet-ext exp list",
    )


def tokens_of(name: str, baselines: Baselines) -> List[Tuple[str, Optional[Switch]]]:
    """Cut a name into tokens, the longest ones first: some contain ``_`` themselves.

    Returns:
        (token, switch) pairs, the switch None for a baseline.
    """
    if len(name) > MAXIMUM_NAME:
        raise refuse(name, f"has {len(name)} characters", expected=f"{MAXIMUM_NAME}")
    if not ALLOWED.fullmatch(name):
        raise refuse(
            name, "is no experiment name", expected="letters, digits and _ alone"
        )
    parts = name.split("_")
    found: List[Tuple[str, Optional[Switch]]] = []
    start = 0
    while start < len(parts):
        for end in range(min(len(parts), start + _longest_parts()), start, -1):
            token = "_".join(parts[start:end])
            matched = _match(token)
            if matched or token in baselines:
                found.append((token, matched[0] if matched else None))
                start = end
                break
        else:
            raise _unknown(name, parts[start], baselines)
    return found


def _collect(name: str, baselines: Baselines) -> Dict[str, Any]:
    """Values of the switches of a name; contradictions are refused."""
    catalogue = load_catalogue()
    values: Dict[str, Any] = {}
    slots: Dict[str, str] = {}
    inherited: Dict[str, Any] = {}
    for token, switch in tokens_of(name, baselines):
        if switch is None:
            if inherited:
                raise refuse(name, f"a second baseline, {token!r}", expected="one")
            inherited = _collect(baselines[token], {})
            continue
        text = switch.pattern.fullmatch(token)[1]
        try:
            value = switch.reader.read(text)
        except ValueError as error:
            raise refuse(
                name, f"token {token!r}: {error}", expected=switch.shown
            ) from None
        both_models = {switch.id, *values} >= {"conformer", "old_nick_att_conformer"}
        if switch.slot in slots and not both_models:
            raise refuse(
                name,
                f"{slots[switch.slot]!r} and {token!r} contradict each other",
                expected="one of the two",
            )
        slots[switch.slot] = token
        values[switch.id] = value
    kept = {
        i: v for i, v in inherited.items() if catalogue.switches[i].slot not in slots
    }
    return {**kept, **values}


def _check(name: str, switches: Switches) -> None:
    """Refuse values and combinations that cannot be."""
    catalogue = load_catalogue()
    slots = {catalogue.switches[i].slot for i in switches.ids()}
    for switch_id, value in switches.values:
        switch = catalogue.switches[switch_id]
        token = switch.write(list(value) if isinstance(value, tuple) else value)
        if switch.between and not switch.between[0] <= value < switch.between[1]:
            low, high = switch.between
            raise refuse(
                name, f"{token!r} is {value}", expected=f"{low} to below {high}"
            )
        if switch.only and not set(switch.only) & set(switches.ids()):
            raise refuse(
                name,
                f"{token!r} has no meaning here",
                expected=" or ".join(switch.only),
            )
        for other in (*switch.without, *switch.excludes):
            if other in switches:
                raise refuse(
                    name,
                    f"{token!r} and {catalogue.switches[other].token!r} exclude each "
                    "other",
                    expected="one of the two",
                )
        for slot in set(switch.needs) - slots:
            options = [s.shown for s in catalogue.of_slot(slot)]
            raise refuse(
                name,
                f"{token!r} changes nothing without {slot}",
                expected=f"also one of {', '.join(dict.fromkeys(options))}",
            )
    if "family" not in slots:
        families = [s.token for s in catalogue.of_slot("family")]
        raise refuse(name, "names no model family", expected=", ".join(families))
    _check_sizes(name, switches)


def _check_sizes(name: str, switches: Switches) -> None:
    layers = switches.get("num_layers", 12)
    aux = switches.slot("aux_ctc")
    for layer in aux[1] if aux else ():
        if layer > layers:
            raise refuse(
                name,
                f"auxiliary CTC on layer {layer}, but the encoder has {layers} layers",
                expected=f"layers up to {layers}",
            )
    size, heads = switches.get("model_size", 512), switches.get("num_heads", 4)
    if size % heads:
        raise refuse(
            name,
            f"model size {size} is no multiple of {heads} heads",
            expected=f"for example d{-(-size // heads) * heads}",
        )


def _refuse_conformer_switches(name: str, switches: Switches) -> None:
    """Models that are not the Conformer class have none of its switches."""
    raw = ("start", "orig", "old_moh_hybrid_conformer", "old_nick_att_conformer")
    family = switches.slot("family")
    if family is None or family[0].id not in raw:
        return
    for switch_id, value in switches.values:
        switch = load_catalogue().switches[switch_id]
        only_conformer = switch.group in ("encoder", "frontend") or switch.id in (
            "num_layers",
            "no_encoder_l2",
            "l2_weights_only",
        )
        growth = switch.slot == "regime" and switch.id != "slow_pretraining"
        only_conformer = only_conformer or growth
        if only_conformer or switch.slot == "aux_ctc":
            raise refuse(
                name,
                f"{switch.shown!r} belongs to the Conformer, not to {family[0].token}",
            )


def parse_name(name: str, baselines: Baselines = {}) -> Switches:
    """The switches that a name says.

    Args:
        name: Tokens joined by ``_`` in any order.
        baselines: User-defined tokens, each for a whole name.

    Raises:
        OptionError: Unknown token (the nearest is named), unreadable value,
            contradiction, or an impossible value.
    """
    values = _collect(name, baselines)
    # conformer_import_old_nick_att_conformer_lrs2 names both models
    if "import_old_nick" in values:
        values.pop("conformer", None)
    elif "conformer" in values and "old_nick_att_conformer" in values:
        raise refuse(
            name,
            "'conformer' and 'old_nick_att_conformer' contradict each other",
            expected="one of the two",
        )
    switches = switches_of(values)
    _check(name, switches)
    _refuse_conformer_switches(name, switches)
    return switches


def format_name(switches: Switches) -> str:
    """The canonical name: the tokens in the catalogue's ``name_order``.

    Raises:
        OptionError: A value that no token can hold.
    """
    catalogue = load_catalogue()
    rows = [(catalogue.switches[i], value) for i, value in switches.values]
    if "import_old_nick" in switches:
        rows.append((catalogue.switches["conformer"], True))
    tokens = []
    for switch, value in sorted(rows, key=lambda row: catalogue.rank(row[0])):
        value = list(value) if isinstance(value, tuple) else value
        try:
            tokens.append(switch.write(value))
        except ValueError as error:
            raise OptionError(str(error), where=f"switch {switch.id}") from None
    return "_".join(tokens)
