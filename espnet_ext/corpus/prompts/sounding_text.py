"""From the script that a speaker read to the words that are heard.

Figures are read out, keys of the telephone get their names, notes in brackets go, and
acronyms that are spelled become letters. Typing errors of the script stay as they are
(``umute``, ``exclaimation``): what was said there nobody has checked.
"""

import re
from typing import List

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
# acronyms of the script that are spelled; IAX, SIP and DAHDI are said as words
SPELLED = {"PBX", "IVR", "IP", "MGCP", "USB"}
KEYS = {"*": " star ", "#": " pound "}
NOTES = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
WEB_NAME = re.compile(r"\bwww(?:\.[a-z]+)+\b", re.IGNORECASE)
DOTTED_LETTERS = re.compile(r"\b(?:[A-Z]\.){2,}")
LETTER_AND_NUMBER = re.compile(r"\b([A-Z])\.?(\d+)\b|\b(\d+)([A-Z])\b")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
NOT_IN_WORDS = re.compile(r"[^a-z' ]+")


def sounding_text(raw: str) -> str:
    """Lower-case words separated by blanks; empty where nothing is said.

    Args:
        raw: A line of the script, for example ``Press 1 for H.323 (short tone)``.
    """
    text = NOTES.sub(" ", raw)
    text = WEB_NAME.sub(lambda name: _web_name(name.group()), text)
    for key, name in KEYS.items():
        text = text.replace(key, name)
    text = DOTTED_LETTERS.sub(lambda m: " ".join(m.group().replace(".", " ")), text)
    text = LETTER_AND_NUMBER.sub(_letter_and_number, text)
    text = NUMBER.sub(lambda number: f" {read_out(number.group())} ", text)
    spelled = (_spell(word) for word in text.split())
    text = NOT_IN_WORDS.sub(" ", " ".join(spelled).lower().replace("\u2019", "'"))
    words = (word.strip("'") for word in text.split())
    return " ".join(word for word in words if word)


def read_out(number: str) -> str:
    """Words of a number as an announcement says it.

    Up to 99 and whole hundreds are read as numbers; a longer one is an extension or a
    password and read figure by figure; after a decimal point figure by figure.
    """
    whole, _, decimals = number.partition(".")
    said = _whole(whole)
    return f"{said} point {_figures(decimals)}" if decimals else said


def _whole(digits: str) -> str:
    value = int(digits)
    if digits != str(value):
        return _figures(digits)
    if value < 20:
        return UNITS[value]
    if value < 100:
        ten, unit = divmod(value, 10)
        return f"{TENS[ten - 2]} {UNITS[unit]}" if unit else TENS[ten - 2]
    if value < 1000 and value % 100 == 0:
        return f"{UNITS[value // 100]} hundred"
    return _figures(digits)


def _figures(digits: str) -> str:
    return " ".join(UNITS[int(digit)] for digit in digits)


def _letter_and_number(match: re.Match) -> str:
    """``H.323`` -> h and its figures, ``3D`` -> number and d."""
    if match.group(1):
        return f"{match.group(1)} {_figures(match.group(2))}"
    return f"{_whole(match.group(3))} {match.group(4)}"


def _web_name(name: str) -> str:
    parts: List[str] = []
    for part in name.split("."):
        parts.append("w w w" if part.lower() == "www" else part)
    return " dot ".join(parts)


def _spell(word: str) -> str:
    core = word.strip(".,!?:;\"'")
    return word.replace(core, " ".join(core)) if core in SPELLED else word
