"""How the value inside a token of an experiment name is read and written.

There is no common rule (reference/parts.md section 0): ``attdrop01`` is 0.1, ``vn0015``
is 0.0015, ``lr3e_3`` is 3e-3, ``rndresize09_12`` is 0.9 to 1.2. Each switch of the
catalogue names one reader.
"""

import re
from decimal import Decimal
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

MAXIMUM_DIGITS = 9


class Reader(NamedTuple):
    """One way to write a value.

    Attributes:
        pattern: Regular expression of the text, without groups.
        read: Text to value; ValueError with a reason if it has no meaning.
        write: Value to the text that ``read`` gives back; ValueError if there is none.
        example: Shown in messages.
    """

    pattern: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    example: str


def _decimals(value: float) -> str:
    """Digits behind the point: 0.0025 gives '0025'."""
    text = f"{Decimal(repr(float(value))):f}"
    whole, _, behind = text.partition(".")
    if whole != "0":
        raise ValueError(f"{value} is not below 1, so a name cannot hold it")
    return behind


def _read_after_zero(text: str) -> float:
    return float(f"0.{text[1:] or '0'}")


def _write_after_zero(value: float) -> str:
    return "0" if value == 0 else "0" + _decimals(value)


def _read_fraction(text: str) -> float:
    return float(f"0.{text}")


def _write_fraction(value: float) -> str:
    text = _decimals(value)
    if not text.startswith("0") or value == 0:
        raise ValueError(f"{value} is not between 0 and 0.1, so a name cannot hold it")
    return text


def _read_scientific(text: str) -> float:
    mantissa, _, exponent = text.partition("e_")
    if len(exponent) > 2:
        raise ValueError(f"10 to the power -{exponent} is out of range")
    return float(f"{mantissa}e-{exponent}")


def _write_scientific(value: float) -> str:
    if value <= 0:
        raise ValueError(f"{value} is not positive, so a name cannot hold it")
    digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()[1:]
    mantissa = "".join(map(str, digits))
    if exponent >= 0:
        mantissa, exponent = mantissa + "0" * (exponent + 1), -1
    return f"{mantissa}e_{-exponent}"


def _read_resize(text: str) -> List[float]:
    bounds = [float(f"{part[0]}.{part[1:]}") for part in text.split("_")]
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError(f"{bounds[0]} to {bounds[1]} is no range of factors")
    return bounds


def _write_resize(value: List[float]) -> str:
    if any(not 0 < bound < 10 for bound in value):
        raise ValueError(f"{value} is not between 0 and 10, so a name cannot hold it")
    texts = [f"{Decimal(repr(float(bound))):f}" for bound in value]
    return "_".join(text.replace(".", "") for text in texts)


def _read_layers(text: str) -> List[int]:
    """4812 is [4, 8, 12]: a 1 begins a number of two digits, others stand alone."""
    layers = [int(part) for part in re.findall(r"1\d|[2-9]", text)]
    if "".join(map(str, layers)) != text:
        raise ValueError(f"{text!r} is no list of layers from 2 to 19")
    if layers != sorted(set(layers)):
        raise ValueError(f"layers {layers} are not ascending")
    return layers


def _write_layers(value: List[int]) -> str:
    text = "".join(map(str, value))
    if _read_layers(text) != list(value):
        raise ValueError(f"layers {value} cannot be written in a name")
    return text


def _read_integer(text: str) -> int:
    return int(text)


NO_VALUE = Reader("", lambda text: True, lambda value: "", "")
READERS: Dict[str, Reader] = {
    "integer": Reader(r"[1-9]\d*", _read_integer, str, "12"),
    "after_zero": Reader(r"0\d*", _read_after_zero, _write_after_zero, "01 for 0.1"),
    "fraction": Reader(r"0\d+", _read_fraction, _write_fraction, "0015 for 0.0015"),
    "scientific": Reader(
        r"[1-9]\d*e_\d+", _read_scientific, _write_scientific, "3e_3 for 0.003"
    ),
    "resize_range": Reader(
        r"\d{2,}_\d{2,}", _read_resize, _write_resize, "09_12 for 0.9 to 1.2"
    ),
    "layers": Reader(r"[1-9]\d*", _read_layers, _write_layers, "4812 for 4, 8, 12"),
}


def split_token(token: str) -> Tuple[str, str]:
    """What stands before and after the value: 'aux{}ff' gives ('aux', 'ff')."""
    before, _, after = token.partition("{}")
    return before, after
