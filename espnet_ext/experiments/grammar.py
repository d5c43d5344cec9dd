"""Experiment names <-> sets of switches.

    conformer_ln_pre10_d384_h6_blstmf2_specaug  <->  {conformer, layer_norm, pre10, ...}

Tokens may stand in any order. One of the tokens may be a baseline, a user's name for a
set of switches; the others then replace the baseline's switches of the same slot.

Source: reference/parts.md sections 0 and 2.
"""

import functools
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.combinations import check_switches
from espnet_ext.experiments.switches import (
    MAXIMUM_NAME,
    Switches,
    refuse,
    switches_of,
)
from espnet_ext.names import nearest

ALLOWED = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
BASELINE = re.compile(r"[a-z]+[a-z0-9]*", re.ASCII)
Baselines = Mapping[str, str]


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
    check_switches(name, switches)
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
