"""Which upper-case words are spelled letter by letter, and how they are written.

A word is an acronym if the dictionary of the transcripts pronounces it as the names of
its letters (``IBM  ay b iy eh m``). Words that the dictionary does not list, or a
dictionary that is absent, fall back on the spelling: capitals only, and not one of the
few that people say as a word.
"""

import re
from pathlib import Path
from typing import Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from espnet_ext.corpus.find import OLD_ENCODING
from espnet_ext.files import PathLike, read_lines

# letter names in the phone set of the MS98 dictionary; W has been written in two ways
LETTER_NAMES: Dict[str, Tuple[str, ...]] = {
    "A": ("ey",),
    "B": ("b iy",),
    "C": ("s iy",),
    "D": ("d iy",),
    "E": ("iy",),
    "F": ("eh f",),
    "G": ("jh iy",),
    "H": ("ey ch",),
    "I": ("ay",),
    "J": ("jh ey",),
    "K": ("k ey",),
    "L": ("eh l",),
    "M": ("eh m",),
    "N": ("eh n",),
    "O": ("ow",),
    "P": ("p iy",),
    "Q": ("k y uw",),
    "R": ("aa r",),
    "S": ("eh s",),
    "T": ("t iy",),
    "U": ("y uw",),
    "V": ("v iy",),
    "W": ("d ah b ax l y uw", "d ah b el y uw", "d ah b y uw"),
    "X": ("eh k s",),
    "Y": ("w ay",),
    "Z": ("z iy",),
}
PLURAL_NAMES = ("s", "z", "ax z", "ih z", "iy z")
SAID_AS_WORDS = frozenset(
    "AIDS BASIC COBOL CUNY DOS EPCOT FEMA FICA HUD LAN MADD MASH MIDI NAFTA NASA NATO "
    "NOW OPEC OSHA PAC RAM ROM SAT SCUD SUNY SWAT UNICEF UNIX VISTA ZIP".split()
)
# capitals, '&' inside, and an ending that is not spelled: TVs, PC's, AT&T's
SPELLED = re.compile(r"^([A-Z](?:&?[A-Z])*)('?s)?$")


class Acronyms:
    """Answers whether a word of the transcripts is spelled.

    Args:
        dictionary: Lines ``WORD phone phone ...``; ``#`` begins a comment and ``&`` is
            written ``&amp;``. None if there is no dictionary.
    """

    def __init__(self, dictionary: Optional[Iterable[str]] = None):
        self.spelled: Set[str] = set()
        self.said: Set[str] = set()
        for line in dictionary or ():
            word, _, phones = line.replace("&amp;", "&").strip().partition(" ")
            if not word or word.startswith("#") or not SPELLED.match(word):
                continue
            if " ".join(phones.split()) in _letter_readings(word):
                self.spelled.add(word)
            else:
                self.said.add(word)
        self.said -= self.spelled  # one spelled reading is enough

    def letters(self, word: str) -> Optional[List[str]]:
        """Letters of an acronym, its ending glued to the last; None for a word.

        ``IBM`` -> I B M, ``TVs`` -> T Vs, ``PC's`` -> P C's, ``AT&T`` -> A T & T.
        The capital ``I`` is a letter (the pronoun is written ``i``).
        """
        match = SPELLED.match(word)
        if match is None:
            return None
        body, ending = match.group(1), match.group(2) or ""
        has_ampersand = "&" in body  # no dictionary lists how '&' is read
        if len(body) > 1 and not has_ampersand and word not in self.spelled:
            if word in self.said or body in self.said or body in SAID_AS_WORDS:
                return None
        letters = list(body)
        letters[-1] += ending
        return letters


def read_acronyms(dictionary: Optional[PathLike]) -> Acronyms:
    """Acronyms of ``sw-ms98-dict.text``, or by spelling alone without one."""
    if dictionary is None or not Path(dictionary).exists():
        return Acronyms()
    return Acronyms(read_lines(dictionary, or_else=OLD_ENCODING))


def spell(letters: List[str], style: str, ampersand: Optional[str]) -> List[str]:
    """Words, in lower case, for the letters of one acronym.

    Args:
        letters: As ``Acronyms.letters`` gives them: ``["P", "C's"]``.
        style: ``letters`` (p c's), ``dotted`` (p. c.'s, as STM files have it),
            ``fisher`` (p._c.'s) or ``joined`` (pc's).
        ampersand: What a letter ``&`` is read as; None leaves it, and the whole
            acronym in one piece.
    """
    letters = [letter.lower() for letter in letters]
    if "&" in letters:
        if ampersand is None:
            return ["".join(letters)]
        at = letters.index("&")
        before = spell(letters[:at], style, ampersand)
        return before + [ampersand] + spell(letters[at + 1 :], style, ampersand)
    if style == "joined":
        return ["".join(letters)]
    if style == "letters":
        return letters
    dotted = [f"{letter[0]}.{letter[1:]}" for letter in letters]
    return dotted if style == "dotted" else ["_".join(dotted)]


def _letter_readings(word: str) -> FrozenSet[str]:
    """All ways to read the letters aloud, with the plural ending where there is one."""
    body, ending = SPELLED.match(word).groups()  # type: ignore[union-attr]
    readings = [""]
    for letter in body.replace("&", ""):
        names = LETTER_NAMES[letter]
        readings = [f"{done} {name}".strip() for done in readings for name in names]
    if ending:
        readings = [f"{done} {name}" for done in readings for name in PLURAL_NAMES]
    return frozenset(readings)
