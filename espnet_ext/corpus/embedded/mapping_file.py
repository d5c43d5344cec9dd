"""The mapping file (GLM) that scoring applies to reference and hypothesis alike.

It holds own rules for the words of this corpus in the syntax of the Hub5 files, not the
rules of any release.

Ref: NIST SCTK, ``csrfilt`` and ``rfilter1``.
"""

import string
from typing import Iterable, List

HESITATIONS = "UH UM EH MM HM AH HUH HA ER OOF HEE ACH EEE EW"
BACKCHANNELS = "UH-HUH UM-HUM MHM MM-HM MM-HMM UH-HMM"
SPELLINGS = {"ALRIGHT": "ALL RIGHT", "OK": "OKAY"}
CONTRACTIONS = {
    "I'M": ("I AM",),
    "I'LL": ("I WILL",),
    "IT'S": ("IT IS", "IT HAS"),
    "HE'S": ("HE IS", "HE HAS"),
    "THAT'S": ("THAT IS", "THAT HAS"),
    "WE'RE": ("WE ARE",),
    "DON'T": ("DO NOT",),
    "DOESN'T": ("DOES NOT",),
    "CAN'T": ("CANNOT", "CAN NOT"),
}
ANYWHERE = "/ [ ] __ [ ]"


def mapping_lines(name: str) -> List[str]:
    """All lines of the file; ``name`` is its own file name."""
    head = [
        ";; Mapping rules for the embedded corpus",
        f'* name "{name}"',
        '* desc "rules for synthetic calls"',
        "* format = 'NIST1'",
        "* max_nrules = '2500'",
        "* copy_no_hit = 'T'",
        "* case_sensitive = 'F'",
    ]
    return [
        *head,
        ";; back-channels, before the hesitations that they contain",
        *_rules(BACKCHANNELS.split(), "%BCACK"),
        ";; hesitations",
        *_rules(HESITATIONS.split(), "%HESITATION"),
        ";; letters, also in the plural, mean the same with and without a dot",
        *(f"{letter}. => {letter} {ANYWHERE}" for letter in string.ascii_uppercase),
        *(f"{letter}.S => {letter}S {ANYWHERE}" for letter in string.ascii_uppercase),
        ";; spellings",
        *(f"{left} => {right} {ANYWHERE}" for left, right in SPELLINGS.items()),
        ";; contractions",
        *(
            f"[{short}] => [{{{' / '.join((short, *long))}}}] {ANYWHERE}"
            for short, long in CONTRACTIONS.items()
        ),
    ]


def _rules(words: Iterable[str], target: str) -> List[str]:
    return [f"{word} => {target} {ANYWHERE}" for word in words]
