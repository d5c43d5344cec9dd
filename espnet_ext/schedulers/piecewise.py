"""Rates that depend on the sub-epoch or the update alone: lines and half cosines.

    piecewise_linear  straight lines between points (one cycle: three points)
    cosine            linear warm-up, then half a cosine down to the lowest rate

Ref: Smith 2018 (one cycle), arXiv 1803.09820; Loshchilov and Hutter 2017 (cosine),
eq. 5.
"""

import bisect
import math
from typing import Any, Callable, Dict, Sequence, Tuple

import torch
from espnet2.schedulers.abs_scheduler import (
    AbsBatchStepScheduler,
    AbsEpochStepScheduler,
    AbsScheduler,
)

from espnet_ext.errors import OptionError

Points = Sequence[Tuple[float, float]]
Rate = Callable[[float], float]


def piecewise_linear(points: Points, place: float) -> float:
    """Rate on the lines between (place, rate) points; constant outside of them."""
    places = [point[0] for point in points]
    index = bisect.bisect_right(places, place)
    if index == 0:
        return points[0][1]
    if index == len(points):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[index - 1], points[index]
    return y0 + (y1 - y0) * (place - x0) / (x1 - x0)


def cosine(
    peak: float, lowest: float, warmup: float, end: float, place: float
) -> float:
    """Linear from 0 to ``peak`` at ``warmup``, half a cosine to ``lowest`` at ``end``.

    ``lowest`` from ``end`` on.
    """
    if place < warmup:
        return peak * place / warmup
    share = min((place - warmup) / max(end - warmup, 1e-9), 1.0)
    return lowest + (peak - lowest) * 0.5 * (1.0 + math.cos(math.pi * share))


class _BySteps(AbsScheduler):
    """Sets a rate that is a function of the number of sub-epochs or updates."""

    def __init__(self, optimizer: torch.optim.Optimizer, rate: Rate):
        self.optimizer = optimizer
        self.rate_at = rate
        self.place = 1  # of the sub-epoch or update that comes
        self._use()

    def _use(self) -> None:
        rate = self.rate_at(self.place)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, epoch: int = None) -> None:
        """A sub-epoch, or an update, ended."""
        self.place += 1
        self._use()

    def state_dict(self) -> Dict[str, Any]:
        """The number of the sub-epoch or update that comes."""
        return {"place": self.place}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue from that number."""
        self.place = int(state["place"])
        self._use()


def _checked(points: Points) -> Points:
    points = [(float(place), float(rate)) for place, rate in points]
    places = [place for place, _ in points]
    if not points or places != sorted(set(places)):
        raise OptionError(
            f"piecewise_linear: points {points}", expected="[place, rate], rising"
        )
    return points


class PiecewiseLinear(_BySteps, AbsEpochStepScheduler):
    """Lines between points over the sub-epochs (``piecewise_linear``).

    Args:
        optimizer: Its groups get the rate.
        points: [sub-epoch, rate], rising; the first sub-epoch is 1.

    Raises:
        OptionError: No points, or they do not rise.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, points: Points):
        points = _checked(points)
        super().__init__(optimizer, lambda place: piecewise_linear(points, place))


class PiecewiseLinearUpdates(_BySteps, AbsBatchStepScheduler):
    """The same over the updates (``piecewise_linear_updates``).

    Args:
        optimizer: Its groups get the rate.
        points: [update, rate], rising; the first update is 1.

    Raises:
        OptionError: No points, or they do not rise.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, points: Points):
        points = _checked(points)
        super().__init__(optimizer, lambda place: piecewise_linear(points, place))


class CosineUpdates(_BySteps, AbsBatchStepScheduler):
    """Warm-up and half a cosine over the updates (``cosine_updates``).

    Args:
        optimizer: Its groups get the rate.
        peak: Highest rate.
        end: Update from which the rate is ``lowest``.
        lowest: Lowest rate.
        warmup: Update of the highest rate.

    Raises:
        OptionError: The end is not behind the warm-up.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        peak: float,
        end: float,
        lowest: float = 0.0,
        warmup: float = 0.0,
    ):
        if not 0.0 <= warmup < end:
            raise OptionError(
                f"cosine_updates: warmup {warmup}, end {end}",
                expected="0 <= warmup < end",
            )
        super().__init__(
            optimizer, lambda place: cosine(peak, lowest, warmup, end, place)
        )
