"""A recipe folder with small data directories and noise as speech."""

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import soundfile

from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import StageLog
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.parse import parse
from espnet_ext.recipe.stages import stage
from espnet_ext.recipe.state import decide

RATE_HZ = 8000
LENGTH_S = 0.5
WORDS = "yeah okay i think so that is good right well you know the house".split()
SETS = {"train": 8, "dev": 3, "rt03s": 2}


def make_set(root: Path, name: str, count: int) -> List[Utterance]:
    """A two-channel call with ``count`` segments, the sides in turn."""
    rng = np.random.default_rng(len(name) + count)
    audio = Path("downloads") / f"{name}.wav"
    (root / "downloads").mkdir(exist_ok=True)
    samples = rng.uniform(-0.1, 0.1, size=(int(RATE_HZ * (count + 1)), 2))
    soundfile.write(root / audio, samples, RATE_HZ, subtype="PCM_16")
    utterances = [
        Utterance(
            f"{name}-{'AB'[n % 2]}_{n:06d}",
            f"{name}-{'AB'[n % 2]}",
            f"{name}-{'AB'[n % 2]}",
            " ".join(rng.choice(WORDS, 4)),
            str(audio),
            n % 2,
            float(n),
            n + LENGTH_S,
        )
        for n in range(count)
    ]
    write_data_dir(root / "data" / name, utterances)
    return utterances


def make_recipe(root: Path, sets: Optional[Dict[str, int]] = None) -> Path:
    """Data directories as stage 1 leaves them."""
    for name, count in (sets or SETS).items():
        make_set(root, name, count)
    return root


def options(*words: str) -> RecipeOptions:
    """Options of a small recipe; more words override."""
    settings = "--fs 8k --nj 2 --ngpu 0 --use_lm false --lang en --nbpe 22"
    return parse(["--test_sets", "rt03s", *settings.split(), *words])


def context(*words: str) -> Context:
    """What a stage function gets, with nothing on the screen."""
    chosen = options(*words)
    return Context(chosen, Layout(chosen), StageLog(Path("exp/log/test.log"), "test"))


def run_stage(number: int, *words: str, only: str = "") -> dict:
    """Call one stage's function on its units, all or those whose target ends so."""
    here = context(*words)
    units = [u for u in stage(number).units(here) if u.target.endswith(only)]
    facts = stage(number).run(here, [(unit, decide(unit)) for unit in units])
    for unit in units:
        for path in unit.outputs:
            assert path.exists(), f"stage {number} did not write {path}"
    return facts
