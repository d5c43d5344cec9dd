"""The stages 1-14, and those that run only by name.

Each module has ``units(context)`` and ``run(context, units)``.
"""

import importlib
from typing import Callable, Dict, List, NamedTuple

from espnet_ext.recipe.context import Context
from espnet_ext.recipe.options import ALIGN_STAGE
from espnet_ext.recipe.state import Due, Unit

Facts = Dict[str, object]


class Stage(NamedTuple):
    """One stage of the recipe.

    Attributes:
        number: As in asr.sh.
        title: One line that says what is done.
        units: What the stage makes with these settings.
        run: Makes the units that are due; returns the facts of the summary screen.
            Where a decision says ``resume``, an earlier run with the same settings
            and inputs was interrupted and the whole files it left may be kept.
    """

    number: int
    title: str
    units: Callable[[Context], List[Unit]]
    run: Callable[[Context, Due], Facts]


# number -> (module, prefix of its functions, title)
TABLE = {
    1: ("data", "", "Data preparation: corpora -> data/"),
    2: ("speed", "", "Speed perturbation: data/<train> -> data/<train>_sp"),
    3: ("format", "", "Format: data/ -> dump/raw/, one audio file an utterance"),
    4: ("filter", "", "Remove long, short and empty utterances: dump/raw/org -> raw"),
    5: ("tokens", "", "Token list"),
    6: ("lm", "stats_", "Language model: statistics"),
    7: ("lm", "train_", "Language model: training"),
    8: ("lm", "perplexity_", "Language model: perplexity"),
    9: ("ngram", "", "n-gram language model"),
    10: ("statistics", "", "ASR statistics: shapes, mean and variance of features"),
    11: ("train", "", "ASR training"),
    12: ("decode", "", "Decoding"),
    13: ("score", "", "Scoring"),
    14: ("pack", "", "Packing: model, configuration and results in one archive"),
    ALIGN_STAGE: ("align", "", "Alignment of speech with its text"),
}


def stage(number: int) -> Stage:
    """Load one stage."""
    module_name, prefix, title = TABLE[number]
    module = importlib.import_module(f"{__name__}.{module_name}")
    return Stage(
        number,
        title,
        getattr(module, f"{prefix}units"),
        getattr(module, f"{prefix}run"),
    )
