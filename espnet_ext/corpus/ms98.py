"""Words of the MS-State (MS98) Switchboard transcripts, without their markup.

===========================  ======================  ===============================
found                        becomes                 meaning
===========================  ======================  ===============================
``[silence]``                nothing                 pause
``<b_aside>`` ``<e_aside>``  nothing                 speech to a third person
``[noise]`` ``[laughter]``   by profile              sounds that are no words
``[vocalized-noise]``
``[laughter-yeah]``          ``yeah``                said while laughing
``th[e]-``                   ``th-``                 end not said
``-[ab]out``                 ``-out``                beginning not said
``ammu[n]it-``               ``ammu-it-``            middle not said
``[it'n/isn't]``             ``it'n``                said / meant
``[lem[guini]-/linguini]``   ``lem-``                the same, nested
``ex[specially]-/es...]``    ``ex-``                 the same, first bracket lost
``{yuppiedom}``              ``yuppiedom``           coined word
``them_1's`` ``okay_1``      ``them's`` ``okay``     numbered pronunciation
``IBM`` ``TVs`` ``C I A``    by profile              letters
``AT&T``                     by profile              letters and "and"
``Colorado``                 ``colorado``            name
===========================  ======================  ===============================

Profiles:

- ``plain`` (default): words alone. Letters apart (``i b m``, ``t vs``, ``a t and t``),
  which the references can score; noise tags removed; segments without a word dropped.
- ``rwth``: as RWTH's public recipe. Acronyms are lower-case words (``ibm``, ``tvs``,
  ``at and t``), tags stay in upper case (``[LAUGHTER]``) inside segments with words,
  segments of tags only are dropped. Not copied: ``AT&T's`` keeps its ``'s``.
- ``kaldi``: letters in Fisher's way (``i._b._m.``, ``t._v.s``), ``at&t`` as it is, tags
  kept in lower case, segments of tags only kept. Two slips of the Kaldi scripts
  (``ammn-t-``, ``ex``) are not copied.

Segments that RWTH leaves out as unusable are left out by ``plain`` and ``rwth``.

Ref: reference/data.md section 4; Kaldi, egs/swbd/s5c/local/swbd1_map_words.pl.
"""

import functools
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional

from espnet_ext.corpus.acronyms import Acronyms, spell
from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

NOISE_TAGS = frozenset(("[laughter]", "[noise]", "[vocalized-noise]"))
SILENT_MARKS = frozenset(("[silence]", "<b_aside>", "<e_aside>"))

LAUGHED = re.compile(r"^(-?)\[laughter-(.+)\](-?)$", re.IGNORECASE)
SAID_MEANT = re.compile(r"^(-?)\[(.+)/[^/]*\](-?)$")
SAID_MEANT_BROKEN = re.compile(r"^([^/]*\[[^/]*)/.*$")
NOT_SAID = re.compile(r"-?\[[^][]*\]-?")
NUMBERED = re.compile(r"_\d+")
# 'i._b._m.' is a result of this module: its dots and underscores are no markup
LEFT_OVER = re.compile(r"[][{}<>/]")


@dataclass(frozen=True)
class Profile:
    """How the choices of the table are made.

    Attributes:
        name: For the report and the stamp.
        acronyms: ``letters`` (i b m), ``dotted`` (i. b. m., as STM files write them),
            ``fisher`` (i._b._m.) or ``joined`` (ibm).
        noise_tags: ``remove``, ``upper`` or ``lower``.
        keep_noise_only: Keep segments that hold tags but no word.
        ampersand: What ``&`` is read as; None leaves it.
        known_defects: Leave out the sides and segments that RWTH calls unusable.
    """

    name: str
    acronyms: str = "letters"
    noise_tags: str = "remove"
    keep_noise_only: bool = False
    ampersand: Optional[str] = "and"
    known_defects: bool = True


PROFILES: Dict[str, Profile] = {
    "plain": Profile("plain"),
    "rwth": Profile("rwth", acronyms="joined", noise_tags="upper"),
    "kaldi": Profile(
        "kaldi",
        acronyms="fisher",
        noise_tags="lower",
        keep_noise_only=True,
        ampersand=None,
        known_defects=False,
    ),
}


def profile_named(name: str) -> Profile:
    """The profile of this name, or an error with the nearest valid one."""
    if name not in PROFILES:
        raise OptionError(
            f"unknown text profile {name!r}",
            expected=", ".join(PROFILES),
            next_step=f"did you mean {nearest(name, PROFILES) or 'plain'}?",
        )
    return PROFILES[name]


def make_normaliser(
    profile: Profile, acronyms: Optional[Acronyms] = None
) -> Callable[[str], str]:
    """A function from a transcript line (without id and times) to plain words.

    The function is idempotent: its own output passes unchanged. It returns an empty
    text for a segment that the profile drops.
    """
    acronyms = Acronyms() if acronyms is None else acronyms

    # a corpus of three million tokens has thirty thousand different ones
    @functools.lru_cache(maxsize=None)
    def words_of(token: str) -> List[str]:
        return _words(token, profile, acronyms)

    def normalise(line: str) -> str:
        words = [word for token in line.split() for word in words_of(token)]
        has_word = any(word.lower() not in NOISE_TAGS for word in words)
        return " ".join(words) if has_word or profile.keep_noise_only else ""

    return normalise


def _words(token: str, profile: Profile, acronyms: Acronyms) -> List[str]:
    """Words for one token of the transcript; often one, for an acronym several."""
    lower = token.lower()
    if lower in SILENT_MARKS:
        return []
    if lower in NOISE_TAGS:
        tag = {"remove": [], "upper": [lower.upper()], "lower": [lower]}
        return tag[profile.noise_tags]
    word = _without_markup(token)
    letters = acronyms.letters(word)
    if letters is not None:
        return spell(letters, profile.acronyms, profile.ampersand)
    if profile.ampersand is not None:
        word = word.replace("&", f" {profile.ampersand} ")
    return [part for part in word.lower().split() if part.strip("-")]


def _without_markup(token: str) -> str:
    """Unwrap one mark after another until nothing changes (marks are nested)."""
    before = None
    while token != before:
        before = token
        token = LAUGHED.sub(r"\1\2\3", token)
        token = SAID_MEANT.sub(r"\1\2\3", token)
        token = SAID_MEANT_BROKEN.sub(r"\1", token)
        token = NOT_SAID.sub("-", token)
        token = NUMBERED.sub("", token)
    return LEFT_OVER.sub("", token)
