"""Rates that depend on the sub-epoch or the update alone: lines and half cosines.

    piecewise_linear  straight lines between points (one cycle: three points)
    cosine            linear warm-up, then half a cosine down to the lowest rate

Ref: Smith 2018 (one cycle), arXiv 1803.09820; Loshchilov and Hutter 2017 (cosine), eq. 5.
"""

import bisect
import math
from typing import Any, Callable, Dict, Sequence, Tuple, Union

import torch
from espnet2.schedulers.abs_scheduler import (
    AbsBatchStepScheduler,
    AbsEpochStepScheduler,
    AbsScheduler,
)

from espnet_ext.errors import OptionError

Points = Sequence[Tuple[float, float]]
Rate = Callable[[float], float]
UNITS = ("sub_epoch", "update")


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
    """Sets a rate that is a function of the number of steps; 0 before the first."""

    def __init__(self, optimizer: torch.optim.Optimizer, rate: Rate, first: int):
        self.optimizer = optimizer
        self.rate_at = rate
        self.first = first  # place of the first sub-epoch or update
        self.steps = 0
        self._use()

    def _use(self) -> None:
        rate = self.rate_at(self.first + self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, epoch: int = None) -> None:
        """A sub-epoch, or an update, ended."""
        self.steps += 1
        self._use()

    def state_dict(self) -> Dict[str, Any]:
        """The number of steps."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue from that number."""
        self.steps = int(state["steps"])
        self._use()


class _BySubEpochs(_BySteps, AbsEpochStepScheduler):
    """Steps after each sub-epoch."""


class _ByUpdates(_BySteps, AbsBatchStepScheduler):
    """Steps after each update."""


def _scheduler(
    optimizer: torch.optim.Optimizer, rate: Rate, unit: str
) -> Union[_BySubEpochs, _ByUpdates]:
    if unit not in UNITS:
        raise OptionError(f"scheduler: unit {unit!r}", expected=" or ".join(UNITS))
    kind = _BySubEpochs if unit == "sub_epoch" else _ByUpdates
    return kind(optimizer, rate, first=1)


def build_piecewise_linear(
    optimizer: torch.optim.Optimizer, points: Points, unit: str = "sub_epoch"
) -> AbsScheduler:
    """Scheduler ``piecewise_linear``.

    Args:
        optimizer: Its groups get the rate.
        points: [place, rate], places rising; a sub-epoch or update counts from 1.
        unit: ``sub_epoch`` or ``update``.

    Raises:
        OptionError: No points, or their places do not rise.
    """
    points = [(float(place), float(rate)) for place, rate in points]
    places = [place for place, _ in points]
    if not points or places != sorted(set(places)):
        raise OptionError(
            f"piecewise_linear: points {points}", expected="[place, rate], rising"
        )
    return _scheduler(optimizer, lambda place: piecewise_linear(points, place), unit)


def build_cosine(
    optimizer: torch.optim.Optimizer,
    end: float,
    peak: float,
    lowest: float = 0.0,
    warmup: float = 0.0,
    unit: str = "update",
) -> AbsScheduler:
    """Scheduler ``cosine``.

    Args:
        optimizer: Its groups get the rate.
        end: Place from which the rate is ``lowest``.
        peak: Highest rate.
        lowest: Lowest rate.
        warmup: Place of the highest rate.
        unit: ``sub_epoch`` or ``update``.

    Raises:
        OptionError: The end is not behind the warm-up.
    """
    if not 0.0 <= warmup < end:
        raise OptionError(
            f"cosine: warmup {warmup}, end {end}", expected="0 <= warmup < end"
        )
    return _scheduler(
        optimizer, lambda place: cosine(peak, lowest, warmup, end, place), unit
    )
