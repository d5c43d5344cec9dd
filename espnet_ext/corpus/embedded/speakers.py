"""Synthetic speakers: which espeak-ng voice each one has, and who is in which set.

A voice is in one set only. Variants that are versions of one voice (``steph``,
``steph2``) count as one, so that a test voice has no twin in training.
"""

import random
import re
from dataclasses import dataclass
from typing import Dict, List, Tuple

from espnet_ext.corpus.embedded.settings import Size
from espnet_ext.errors import OptionError

FEMALE_VARIANTS = (
    "Alicia Andrea Annie anika aunty belinda f1 f2 f3 f4 f5 grandma linda steph steph2 "
    "steph3"
).split()
# Whispering, robots and effects are left out: nobody on the telephone sounds so. So are
# kaukovalta and travis, who have the first formant at 40 and 50 % of its frequency; the
# longest vocal tracts bring it to about 80 %.
MALE_VARIANTS = (
    "Alex Andy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike "
    "Nguyen Reed RicishayMax RicishayMax2 RicishayMax3 adam antonio benjamin boris "
    "caleb david ed edward edward2 grandpa gustave ian iven iven2 iven3 iven4 john "
    "klatt klatt2 klatt3 klatt4 klatt5 klatt6 m1 m2 m3 m4 m5 m6 m7 m8 "
    "marcelo max michel miguel mike2 norbert pablo paul pedro quincy rob robert sandro "
    "shelby victor zac"
).split()
ACCENTS = (
    "en-us en-us en-us en-us en-us-nyc en en-gb-scotland en-gb-x-rp en-gb-x-gbclan "
    "en-gb-x-gbcwmd en-029"
).split()
DIALECTS = ("SOUTH MIDLAND", "WESTERN", "NORTHERN", "SOUTHERN", "NYC", "MIXED")
RATES_WPM = (140, 210)
PITCHES = (35, 65)
FIRST_PIN = 1001
FEMALE_REPEATS, MALE_REPEATS = 5, 2
# of test speakers every second one is a woman; of dev speakers, who only choose the
# checkpoint, every fourth, because each voice kept from training costs words there
TEST_SPEAKERS_A_WOMAN, DEV_SPEAKERS_A_WOMAN = 2, 4


@dataclass(frozen=True)
class Speaker:
    """One caller.

    Attributes:
        pin: Caller number, unique.
        variant: espeak-ng voice variant; in dev and test unique.
        accent: espeak-ng language.
        rate_wpm: Words per minute asked of the synthesiser.
        pitch: Base pitch, 0 to 100.
        female: For the speaker tables and the reference labels.
        dialect: As the caller table names it (not related to the accent).
        born: Year in the caller table.
    """

    pin: int
    variant: str
    accent: str
    rate_wpm: int
    pitch: int
    female: bool
    dialect: str
    born: int

    @property
    def voice(self) -> str:
        """The name espeak-ng knows the voice by."""
        return f"{self.accent}+{self.variant}"


def family(variant: str) -> str:
    """Variants of one voice share it; ``f1``-``f5`` and ``m1``-``m8`` are different."""
    if re.fullmatch(r"[fm]\d", variant):
        return variant
    return variant.rstrip("0123456789").lower()


def cast(size: Size, seed: int) -> Dict[str, List[Speaker]]:
    """The speakers of the sets ``train``, ``dev`` and ``test``.

    The sexes take turns in test, and the whole cast depends on the seed alone.

    Raises:
        OptionError: More speakers are asked for than there are voices.
    """
    source = random.Random(f"{seed} speakers")
    pool = [(name, True) for name in FEMALE_VARIANTS]
    pool += [(name, False) for name in MALE_VARIANTS]
    families = [family(name) for name, _ in pool]
    alone = [voice for voice in pool if families.count(family(voice[0])) == 1]
    source.shuffle(alone)
    test = _mixed(alone, size.test_voices, TEST_SPEAKERS_A_WOMAN)
    alone = [voice for voice in alone if voice not in test]
    dev = _mixed(alone, size.dev_voices, DEV_SPEAKERS_A_WOMAN)
    held_out = dev + test
    rest = _balanced([voice for voice in pool if voice not in held_out], source)
    if len(rest) < size.train_voices or len(held_out) < (
        size.dev_voices + size.test_voices
    ):
        raise OptionError(
            f"{size.train_voices} + {size.dev_voices} + {size.test_voices} speakers",
            where="embedded corpus",
            expected=f"at most {len(rest)} training speakers beside these",
        )
    counts = (size.train_voices, size.dev_voices, size.test_voices)
    chosen = rest[: size.train_voices] + held_out
    speakers = [
        _speaker(FIRST_PIN + 7 * index, voice, source)
        for index, voice in enumerate(chosen)
    ]
    sets = {}
    for name, count in zip(("train", "dev", "test"), counts):
        sets[name], speakers = speakers[:count], speakers[count:]
    return sets


def _balanced(
    voices: List[Tuple[str, bool]], source: random.Random
) -> List[Tuple[str, bool]]:
    """Training voices in the order they are taken, each several times.

    The speakers of a voice differ in accent, rate and pitch. eSpeak has far fewer
    female voices, so they occur more often: otherwise one training speaker in eight
    would be a woman but every second test speaker.
    """
    women = [voice for voice in voices if voice[1]] * FEMALE_REPEATS
    men = [voice for voice in voices if not voice[1]] * MALE_REPEATS
    source.shuffle(women)
    source.shuffle(men)
    # two men to a woman, as far as there are any
    mixed = []
    while women or men:
        mixed += men[:2] + women[:1]
        men, women = men[2:], women[1:]
    return mixed


def _mixed(
    voices: List[Tuple[str, bool]], count: int, speakers_a_woman: int
) -> List[Tuple[str, bool]]:
    """``count`` of the voices in order: a woman, then men, as far as there are any."""
    women = [voice for voice in voices if voice[1]]
    men = [voice for voice in voices if not voice[1]]
    # a quarter of them at most, because training needs some too
    women = women[: len(FEMALE_VARIANTS) // 4]
    chosen: List[Tuple[str, bool]] = []
    while len(chosen) < count and (women or men):
        first = women if len(chosen) % speakers_a_woman == 0 and women else men
        chosen.append((first or women).pop(0))
    return chosen


def _speaker(pin: int, voice: Tuple[str, bool], source: random.Random) -> Speaker:
    return Speaker(
        pin=pin,
        variant=voice[0],
        accent=source.choice(ACCENTS),
        rate_wpm=source.randint(*RATES_WPM),
        pitch=source.randint(*PITCHES),
        female=voice[1],
        dialect=source.choice(DIALECTS),
        born=source.randint(1930, 1970),
    )
