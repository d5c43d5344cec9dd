"""Compares learning rates with those that the original's control gave for its scores.

Source: reference/training.md 2; reference/parity/README.md "newbob".
"""

import re
from typing import Any, Dict, Iterator

import numpy as np
import torch

from espnet_ext.errors import OptionError
from espnet_ext.experiments.resolve import resolve
from espnet_ext.interop.comparison import Comparison
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.schedulers.newbob import Newbob

CURVE = r"lr:(?P<options>[^:]+):n(?P<window>[0-9]+):(?P<scores>.+)"
SCORES = "dev_score:"
RATE_LIMIT = 1e-6


def scheduler_options(name: str, experiment: str) -> Dict[str, Any]:
    """``scheduler_conf`` of a set of options of the file.

    Args:
        name: An experiment, or a token of one like ``pre10``.
        experiment: What the options are of where ``name`` is neither.

    Raises:
        OptionError: The experiment has no such control.
    """
    for candidate in (name, f"conformer_{name}", experiment):
        try:
            resolved = resolve(candidate)
        except OptionError:
            if candidate == experiment:
                raise
            continue
        if resolved.get("scheduler") == "newbob":
            return dict(resolved.get("scheduler_conf"))
    raise OptionError(
        f"{experiment} does not control its learning rate by newbob",
        next_step="say the --experiment whose options the rates are of",
    )


def replay(options: Dict[str, Any], scores: np.ndarray) -> np.ndarray:
    """Learning rate of each sub-epoch, each score being known after its sub-epoch."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = Newbob(optimizer, **options)
    rates = []
    for score in scores:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(float(score))
    return np.array(rates)


def compare_newbob(file: ParityFile) -> Iterator[Comparison]:
    """Largest relative difference of a rate, for each curve of the file."""
    for name in sorted(file.arrays):
        found = re.fullmatch(CURVE, name)
        if found is None:
            continue
        options = scheduler_options(found["options"], file.experiment)
        options["window_epochs"] = int(found["window"])
        ours = replay(options, file.arrays[SCORES + found["scores"]])
        original = file.arrays[name]
        error = np.inf
        if ours.shape == original.shape:
            error = float(np.abs(ours / original - 1.0).max())
        yield Comparison(name, error, RATE_LIMIT)
