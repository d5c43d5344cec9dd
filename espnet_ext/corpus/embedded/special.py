"""The awkward but legal lines of the releases, one or more for each known case.

A corpus of any size holds all of them, so that preparation code meets each case before
it meets a real release. Every word of EVAL_CASES occurs in the training lines.
"""

from typing import Dict, NamedTuple, Optional, Tuple

# case -> lines of a Switchboard training transcript
TRAIN_CASES: Dict[str, Tuple[str, ...]] = {
    "laughed_words": ("[laughter-yeah] [laughter-right]",),
    "partial_end": ("i saw it th[e]- the last w[eek]- week in April",),
    "partial_start": ("-[be]cause it's too hot here",),
    "partial_middle": ("my gar[d]en- garden is small",),
    "partial_broken": ("it's ex[pensive]-/expensive] for a small company",),
    "said_meant": ("i read it at the [libary/library]", "i [did'n/didn't] see it"),
    "said_meant_nested": ("we had [spa[ghetti]-/spaghetti] for dinner",),
    "contraction_partial": ("w[e're]- we're going on Friday",),
    "coinage": ("the {cookathon} was great",),
    "variants": ("i like them_1 and them_1's kids", "okay_1 well okay_1"),
    "aside": ("<b_aside> are you in the house <e_aside> sorry about that",),
    "sound_only": ("[laughter]", "[noise]", "[vocalized-noise]"),
    "acronym_with_and": ("my brother works for AT&T",),
    "acronym_endings": ("they have PC's and CDs and big TVs",),
    "single_letters": ("we read about the F B I", "C I A or F B I i guess"),
    "proper_nouns": ("Susan was in Boston on Christmas",),
    "duplicate": ("yeah", "uh-huh", "yeah", "yeah", "uh-huh"),
    "words_of_the_references": (
        "i'm gonna live in the U S",
        "he's alright and she is very well-known",
        "mhm",
        "uh they watch the CNN news",
        "um okay i guess so no that's it",
        "now he has to go and the dog is in the house with the big TV",
        "we have a great company and i'm sure it's here",
    ),
    "longer_than_15_s": (
        "so my number is zero one two three four five six seven eight nine and his "
        "number is nine eight seven six five four three two one zero and the company "
        "number is oh two oh four oh six oh eight and you know we live in Texas now "
        "but we used to live in Ohio and my mother and my father live in Florida and "
        "they have ten cats and a big old house with a garden",
    ),
}


class EvalCase(NamedTuple):
    """A line of an evaluation set: what is said and what its reference says.

    Attributes:
        spoken: In the style of the training transcripts.
        stm: The reference text; None to derive it from ``spoken``.
    """

    spoken: str
    stm: Optional[str] = None


IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"

# case -> lines of the hub5e_00 references; hub5e_01 has the marked ones too
EVAL_CASES: Dict[str, Tuple[EvalCase, ...]] = {
    "hesitation": (EvalCase("uh he's very sorry"),),
    "fragment": (EvalCase("and th[e]- they um live in the U S"),),
    "letters": (EvalCase("they watch the CNN news on big TV"),),
    "aside": (
        EvalCase(
            "<b_aside> is the dog here <e_aside> okay so now",
            "<B_ASIDE> IS THE DOG HERE <E_ASIDE> OKAY SO NOW",
        ),
    ),
    "ignored": (EvalCase("[noise]", IGNORED),),
    "empty": (EvalCase("[vocalized-noise]", ""),),
    "unsure": (EvalCase("i guess he's alright", "((I GUESS) HE'S ALRIGHT"),),
    "alternatives": (
        EvalCase("now she was gonna go mhm", "NOW SHE WAS { GONNA / GOING TO } GO MHM"),
    ),
    "optional_words": (EvalCase("no yeah he is great", "NO (YEAH) HE IS GREAT"),),
    "hyphenated": (EvalCase("that's the well-known company"),),
    "contraction": (EvalCase("i'm sure it's alright now"),),
}

# lines of Fisher transcripts after the speaker, each with its marker
FISHER_CASES: Dict[str, str] = {
    "unsure": "(( i think it's )) pretty good",
    "unsure_and_empty": "(( ))",
    "sounds": "[laugh] yeah [noise] [breath] that's [lipsmack] right [mn]",
    "more_sounds": "[cough] sorry [sigh] [sneeze] [pause] um-hum",
    "foreign": "my mother said <german (( ja gut )) > to me",
    "skipped": "and then [[skip]] we bought it",
    "mandatory": "we call it *cookathon here",
    "letters": "they live in the u._s. and work for i._b._m.",
    "letters_with_dots_only": "she has a p.c. and a t.v.",
    "partial": "an- and so it's expensive",
    "apostrophe_first": "'cause it's too cold",
    "dashes": "well -- you know -- it's nice",
}
