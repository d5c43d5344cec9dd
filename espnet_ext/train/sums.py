"""Weighted means of what the batches report, in constant memory and resumable.

ESPnet's reporter keeps every value of a sub-epoch in a list of objects; sums give the
same means, can be part of a checkpoint, and do not grow.
"""

import math
from typing import Dict, List, Mapping, Optional


class Sums:
    """Weighted sums by name; values that are not finite are left out."""

    def __init__(self) -> None:
        self.values: Dict[str, List[float]] = {}

    def add(self, values: Mapping[str, float], weight: float = 1.0) -> None:
        """Add values that all have this weight."""
        for name, value in values.items():
            pair = self.values.setdefault(name, [0.0, 0.0])
            if math.isfinite(value) and math.isfinite(weight):
                pair[0] += value * weight
                pair[1] += weight

    def mean(self, name: str) -> Optional[float]:
        """Weighted mean, None where nothing finite was added."""
        total, weight = self.values.get(name, (0.0, 0.0))
        return total / weight if weight else None

    def total(self, name: str) -> float:
        """Weighted sum."""
        return self.values.get(name, (0.0, 0.0))[0]

    def means(self) -> Dict[str, float]:
        """All means; NaN where nothing finite was added, as ESPnet's reporter."""
        return {
            name: total / weight if weight else math.nan
            for name, (total, weight) in self.values.items()
        }

    def state_dict(self) -> Dict[str, List[float]]:
        """Sum and weight of each name."""
        return {name: list(pair) for name, pair in self.values.items()}

    def load_state_dict(self, state: Mapping[str, List[float]]) -> None:
        """Continue from a ``state_dict``."""
        self.values = {name: list(pair) for name, pair in state.items()}
