"""One written token of a conversation in all the forms that the releases give it.

Sentences are written once, in the mixed-case style of the Mississippi State
transcripts (plain words lower case, names with a capital, acronyms all capitals,
markers in brackets). From that come the words a recogniser should print, what the
synthesiser is given to say, and the token of an STM file.
"""

import re
from dataclasses import dataclass
from typing import Iterable, List, Tuple

HESITATIONS = ("uh", "um")
SOUNDS = ("[noise]", "[laughter]", "[vocalized-noise]")
ASIDES = ("<b_aside>", "<e_aside>")
LAUGHED = re.compile(r"^\[laughter-(.+)\]$")
ACRONYM = re.compile(r"^([A-Z]{2,})('s|s)?$")
LETTER = re.compile(r"^[A-Z]$")

# letters whose name plus "s" a synthesiser would otherwise misread
PLURAL_LETTER_NAMES = {"C": "sees", "D": "deez", "M": "ems", "S": "esses", "V": "veez"}

# written form -> (words, spoken): partial words, slips, coinages and variants
IRREGULAR = {
    "th[e]-": ("th-", "thuh"),
    "w[eek]-": ("w-", "wuh"),
    "kn[ow]-": ("kn-", "nuh"),
    "re[ally]-": ("re-", "ree"),
    "-[be]cause": ("-cause", "cuz"),
    "gar[d]en-": ("gar-en-", "garren"),
    "w[e're]-": ("w-", "wuh"),
    "ex[pensive]-/expensive]": ("ex-", "ex"),
    "[libary/library]": ("libary", "lie berry"),
    "[did'n/didn't]": ("did'n", "did in"),
    "[spa[ghetti]-/spaghetti]": ("spa-", "spuh"),
    "{cookathon}": ("cookathon", "cook a thon"),
    "them_1": ("them", "em"),
    "them_1's": ("them's", "ems"),
    "okay_1": ("okay", "okay"),
    "AT&T": ("a t and t", "ay tee and tee"),
    "uh-huh": ("uh-huh", "uh huh"),
    "um-hum": ("um-hum", "um hum"),
    "i": ("i", "I"),
}
COMMON_PARTIALS = {
    "the": "th[e]-",
    "week": "w[eek]-",
    "know": "kn[ow]-",
    "really": "re[ally]-",
}


@dataclass(frozen=True)
class Token:
    """A token and its forms.

    Attributes:
        ms98: As the Switchboard transcripts write it.
        words: What a recogniser should print, lower case; empty for sounds and tags.
        spoken: What the synthesiser is asked to say; empty if nothing.
        kind: word, letters, hesitation, partial, sound or tag.
    """

    ms98: str
    words: Tuple[str, ...]
    spoken: str
    kind: str = "word"

    @property
    def stm(self) -> str:
        """Upper-case reference token of the hub5 evaluations; may be empty."""
        if self.kind == "hesitation":
            return "(%HESITATION)"
        if self.kind == "partial":
            return f"({self.words[0].upper()})"
        if self.kind == "letters":
            return " ".join(f"{w[0]}.{w[1:]}".upper() for w in self.words)
        return " ".join(self.words).upper()


def token(ms98: str) -> Token:
    """The token with this written form."""
    if ms98 in SOUNDS:
        return Token(ms98, (), "", "sound")
    if ms98 in ASIDES:
        return Token(ms98, (), "", "tag")
    if ms98 in HESITATIONS:
        return Token(ms98, (ms98,), ms98, "hesitation")
    if ms98 in IRREGULAR:
        said, spoken = IRREGULAR[ms98]
        partial = said.startswith("-") or said.endswith("-")
        kind = "partial" if partial else "word"
        return Token(ms98, tuple(said.split()), spoken, kind)
    laughed = LAUGHED.match(ms98)
    if laughed:
        inner = token(laughed.group(1))
        return Token(ms98, inner.words, inner.spoken, inner.kind)
    if LETTER.match(ms98):
        return Token(ms98, (ms98.lower(),), _letter_name(ms98), "letters")
    acronym = ACRONYM.match(ms98)
    if acronym:
        return _acronym(ms98, acronym.group(1), acronym.group(2) or "")
    return Token(ms98, (ms98.lower(),), ms98)


def tokens(text: str) -> Tuple[Token, ...]:
    """The tokens of a sentence written with blanks between them."""
    return tuple(token(word) for word in text.split())


def words(sentence: Iterable[Token]) -> List[str]:
    """All words of a sentence, as a recogniser should print them."""
    return [word for part in sentence for word in part.words]


def ms98_text(sentence: Iterable[Token]) -> str:
    """The sentence as a Switchboard transcript line writes it."""
    return " ".join(part.ms98 for part in sentence)


def stm_text(sentence: Iterable[Token]) -> str:
    """The sentence as an evaluation reference writes it."""
    return " ".join(part.stm for part in sentence if part.stm)


def sentence_key(sentence: Iterable[Token]) -> str:
    """What makes two sentences the same one: words without hesitations and partials.

    Sets of sentences are kept apart by it, so that a test sentence is not a training
    sentence with an "uh" put in.
    """
    kept = (part for part in sentence if part.kind not in ("hesitation", "partial"))
    return " ".join(words(kept))


def _letter_name(letter: str) -> str:
    return "ay" if letter == "A" else letter


def _acronym(ms98: str, letters: str, ending: str) -> Token:
    """``IBM`` -> i b m; the plural or possessive stays at the last letter."""
    spelled = [letter.lower() for letter in letters]
    spelled[-1] += ending
    names = [_letter_name(letter) for letter in letters]
    if ending:
        names[-1] = PLURAL_LETTER_NAMES.get(letters[-1], f"{letters[-1]}'s")
    return Token(ms98, tuple(spelled), " ".join(names), "letters")
