"""Weights of language models with the fewest word errors on the selection set.

Every combination of a grid is tried on n-best lists whose hypotheses were scored once
by every model. Of equally good combinations the one with the smallest weights wins.
"""

# Dimensions: N hypotheses of one utterance, K models
import itertools
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.errors import OptionError
from espnet_ext.inference.fusion import SIGNS
from espnet_ext.inference.nbest import ScoredList, word_errors

MAX_POINTS = 200_000
# what only directories of test sets have: how the whole set is scored
SCORING_FILES = ("stm", "glm")
TEST_SETS = ("hub5e", "rt03")
TEST_WORDS = {"test", "eval", "evaluation"}


class Point(NamedTuple):
    """A combination of weights (positive as in the options) and its word errors."""

    weights: Tuple[float, ...]
    errors: int


def refuse_test_set(data_dir: Path) -> None:
    """Scales are part of the system: choosing them on a test set makes its error rate
    no measurement.

    Raises:
        OptionError: The name or the files are those of a test set.
    """
    name = Path(data_dir).resolve().name
    scoring = [file for file in SCORING_FILES if (Path(data_dir) / file).exists()]
    parts = name.lower().replace("-", "_").split("_")
    named = name.startswith(TEST_SETS) or bool(TEST_WORDS & set(parts))
    if named or scoring:
        because = "is named so" if named else f"has {scoring[0]}"
        raise OptionError(
            f"this is a test set (it {because}); scales are never tuned on one",
            where=data_dir,
            expected="the validation set that also selects the checkpoint",
            next_step="decode it with --nbest (run.sh: --eval_valid_set true)",
        )


def parse_grid(texts: Sequence[str]) -> Dict[str, List[float]]:
    """Values to try by option: ``lm_weight=0:1:0.1`` or ``penalty=-1,0,1``.

    Raises:
        OptionError: Something else.
    """
    grid = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            if name not in SIGNS:
                raise ValueError
            if ":" in values:
                first, last, step = map(float, values.split(":"))
                count = int(np.floor((last - first) / step + 1e-9)) + 1
                grid[name] = [round(first + n * step, 10) for n in range(count)]
            else:
                grid[name] = [float(value) for value in values.split(",")]
            if not grid[name]:
                raise ValueError
        except (ValueError, ZeroDivisionError):
            raise OptionError(
                f"{text!r} is no grid",
                where="--grid",
                expected=f"NAME=FIRST:LAST:STEP or NAME=A,B,C of {', '.join(SIGNS)}",
            ) from None
    return grid


def tune(
    lists: Dict[str, ScoredList],
    references: Dict[str, str],
    options: Sequence[str],
    grid: Dict[str, List[float]],
) -> Tuple[List[Point], int]:
    """Word errors of all combinations, in the order of the grid, and reference words.

    Args:
        lists: Scored n-best lists of the selection set.
        references: Texts by utterance.
        options: For each column of the scores, the option of its weight.
        grid: Values of each of these options.

    Raises:
        OptionError: The grid is too large.
    """
    axes = [grid[option] for option in options]
    size = int(np.prod([len(axis) for axis in axes], dtype=np.int64))
    if size > MAX_POINTS:
        raise OptionError(
            f"{size} combinations",
            where="--grid",
            expected=f"at most {MAX_POINTS}",
            next_step="coarser steps first, finer ones around the best afterwards",
        )
    errors, words = word_errors(lists, references)
    signs = np.array([SIGNS[option] for option in options])
    points = []
    for weights in itertools.product(*axes):
        weights_K = np.array(weights) * signs
        total = sum(int(errors[k][lists[k].best(weights_K)]) for k in lists)
        points.append(Point(weights, total))
    return points, words


def best_point(points: Sequence[Point]) -> Point:
    """Fewest errors, then the smallest sum of absolute weights."""
    return min(points, key=lambda p: (p.errors, sum(map(abs, p.weights)), p.weights))
