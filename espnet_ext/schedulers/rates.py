"""Learning rates as pure functions of the sub-epoch and of the scores before it.

Nothing here imports torch: the commands that print an experiment's rates use the same
functions as the schedulers that train with them.
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from espnet_ext.errors import OptionError

Segment = Tuple[float, float, int]  # from, to, sub-epochs; both ends included
ERROR_DIVISORS = ("new_score", "old_score")


def expand(segments: Sequence[Segment]) -> List[float]:
    """The rate of every sub-epoch; both ends of a segment are included."""
    rates: List[float] = []
    for start, end, epochs in segments:
        inner = [start + (end - start) * n / (epochs - 1) for n in range(epochs - 1)]
        rates += [*inner, end][:epochs]
    return rates


@dataclass(frozen=True)
class NewbobOptions:
    """Control of the learning rate by the validation score.

    Source: reference/training.md 2 (RETURNN, ``newbob_multi_epoch``).

    Attributes:
        default_lr: Changes of the score are divided by lr / default_lr.
        min_lr: The rate decays no further; growth is not limited.
        decay: Factor where the scores have stopped to improve.
        growth: Factor where they improve fast; 1 never grows.
        relative_error_threshold: Decay above this mean relative change.
        relative_error_growth_threshold: Grow below this; None: the same threshold.
        min_epochs_per_lr: Sub-epochs with equal rate before the next change.
        window_epochs: Changes whose mean decides.
        error_divided_by: ``new_score``: what the original did, because its option for
            the other, ``old_score``, was misspelt and therefore without effect.
    """

    default_lr: float
    min_lr: float = 0.0
    decay: float = 0.9
    growth: float = 1.0
    relative_error_threshold: float = -0.01
    relative_error_growth_threshold: Optional[float] = None
    min_epochs_per_lr: int = 1
    window_epochs: int = 6
    error_divided_by: str = "new_score"

    def __post_init__(self) -> None:
        if self.error_divided_by not in ERROR_DIVISORS:
            raise OptionError(
                f"newbob: error_divided_by {self.error_divided_by!r}",
                expected=" or ".join(ERROR_DIVISORS),
            )
        if not 0.0 < self.decay <= 1.0 or self.growth < 1.0 or self.default_lr <= 0.0:
            raise OptionError(
                f"newbob: decay {self.decay}, growth {self.growth}, default_lr "
                f"{self.default_lr}",
                expected="0 < decay <= 1 <= growth and default_lr > 0",
            )
        if min(self.min_epochs_per_lr, self.window_epochs) < 1:
            raise OptionError(
                f"newbob: min_epochs_per_lr {self.min_epochs_per_lr}, window_epochs "
                f"{self.window_epochs}",
                expected="at least 1",
            )

    @property
    def growth_threshold(self) -> float:
        """Mean relative change below which the rate grows."""
        if self.relative_error_growth_threshold is None:
            return self.relative_error_threshold
        return self.relative_error_growth_threshold


@dataclass(frozen=True)
class SubEpochScore:
    """A finished sub-epoch.

    Attributes:
        lr: Its learning rate.
        score: Of the validation after it; None if it has none.
        key: What the score is of; scores of different losses are never compared.
    """

    lr: float
    score: Optional[float]
    key: str = "loss"


def relative_change(
    before: SubEpochScore, after: SubEpochScore, options: NewbobOptions
) -> Optional[float]:
    """Change of the score, for a rate of ``default_lr``; None if not comparable."""
    if before.score is None or after.score is None or before.key != after.key:
        return None
    old_score = options.error_divided_by == "old_score"
    divisor = abs(before.score if old_score else after.score)
    if divisor == 0.0 or after.lr == 0.0:
        return None
    change = (after.score - before.score) / divisor
    return change / (after.lr / options.default_lr)


def newbob(history: Sequence[SubEpochScore], options: NewbobOptions) -> float:
    """Learning rate of the sub-epoch after those of ``history``.

    Args:
        history: All sub-epochs before it, at least one.
        options: See there.
    """
    last = history[-1].lr
    recent = [entry.lr for entry in history[-options.min_epochs_per_lr :]]
    if options.min_epochs_per_lr > 1:
        if len(recent) < options.min_epochs_per_lr or len(set(recent)) > 1:
            return last
    window = history[-(options.window_epochs + 1) :]
    changes = [relative_change(a, b, options) for a, b in zip(window, window[1:])]
    if not changes or any(change is None for change in changes):
        return last
    mean = sum(changes) / len(changes)
    if mean > options.relative_error_threshold:
        return max(last * options.decay, options.min_lr)
    if mean < options.growth_threshold:
        return last * options.growth
    return last
