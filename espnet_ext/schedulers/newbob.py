"""``newbob``: preset rates, then control by the validation score (``rates.newbob``).

Steps once a sub-epoch, after validation, as ESPnet's schedulers of that kind do.
"""

from dataclasses import asdict, fields
from typing import Any, Dict, List, Optional, Sequence

import torch
from espnet2.schedulers.abs_scheduler import AbsValEpochStepScheduler

from espnet_ext.errors import OptionError
from espnet_ext.schedulers.rates import (
    NewbobOptions,
    Segment,
    SubEpochScore,
    expand,
    newbob,
)


class Newbob(AbsValEpochStepScheduler):
    """Learning rate of the original's experiments.

    Args:
        optimizer: All its parameter groups get the same rate.
        lr_segments: [from, to, sub-epochs] of the preset rates, both ends included.
        options: See NewbobOptions; ``default_lr`` is also the first rate where there
            are no preset ones.

    Attributes:
        score_key: What the next score is of. The training changes it where another
            loss becomes the main one; scores of different keys are not compared.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        lr_segments: Sequence[Segment] = (),
        default_lr: Optional[float] = None,
        min_lr: float = 0.0,
        decay: float = 0.9,
        growth: float = 1.0,
        relative_error_threshold: float = -0.01,
        relative_error_growth_threshold: Optional[float] = None,
        min_epochs_per_lr: int = 1,
        window_epochs: int = 6,
        error_divided_by: str = "new_score",
    ):
        for segment in lr_segments:
            if len(segment) != 3 or int(segment[2]) < 1 or min(segment[:2]) < 0:
                raise OptionError(
                    f"newbob: lr_segments has {segment}",
                    expected="[from, to, sub-epochs]",
                )
        if default_lr is None:
            default_lr = optimizer.param_groups[0]["lr"]
        values = locals()
        names = [f.name for f in fields(NewbobOptions)]
        self.options = NewbobOptions(**{name: values[name] for name in names})
        self.preset = expand([(a, b, int(n)) for a, b, n in lr_segments])
        self.optimizer = optimizer
        self.history: List[SubEpochScore] = []
        self.score_key = "loss"
        self._use(self.next_rate())

    def next_rate(self) -> float:
        """Rate of the sub-epoch that comes now."""
        if len(self.history) < len(self.preset):
            return self.preset[len(self.history)]
        if not self.history:
            return self.options.default_lr
        return newbob(self.history, self.options)

    def _use(self, rate: float) -> None:
        self.rate = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, val: Optional[float], epoch: Optional[int] = None) -> None:
        """A sub-epoch ended with this validation score; None if it has none."""
        score = None if val is None else float(val)
        self.history.append(SubEpochScore(self.rate, score, self.score_key))
        self._use(self.next_rate())

    def state_dict(self) -> Dict[str, Any]:
        """All rates and scores: the next one depends on the last few of them."""
        return {
            "history": [asdict(entry) for entry in self.history],
            "score_key": self.score_key,
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue with the rate that follows from the scores so far."""
        self.history = [SubEpochScore(**entry) for entry in state["history"]]
        self.score_key = state["score_key"]
        self._use(self.next_rate())
