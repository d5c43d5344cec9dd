"""How label smoothing by gradient is switched on over a training.

Source: reference/losses.md 6.2 (``ls01``, ``ls01a``, ``ls01b``, ``lsx01b``, ..).
"""

from dataclasses import dataclass
from typing import Optional

from espnet_ext.asr.loss.node_gradient import (
    WARMUP_EPOCHS,
    LabelSmoothing,
    growth_fraction,
    warmup_fraction,
)

SCHEDULES = ("constant", "growth", "warmup")


@dataclass(frozen=True)
class SmoothingSchedule:
    """Label smoothing as a pure function of sub-epoch and growing stage.

    Args:
        type: ``ls``, ``lsx`` or ``lsxx``, see LabelSmoothing.
        scale: When fully on.
        schedule: ``constant``, ``growth`` (with the layers of the encoder) or
            ``warmup`` (linearly over the first sub-epochs).
        warmup_epochs: Sub-epochs of the warm-up.
        apply: ``gradient``; a full sum has no target distribution to smooth.
    """

    type: str = "lsxx"
    scale: float = 0.0
    schedule: str = "constant"
    warmup_epochs: int = WARMUP_EPOCHS
    apply: str = "gradient"

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"label_smoothing schedule {self.schedule!r}: "
                f"expected one of {SCHEDULES}"
            )
        if self.apply != "gradient":
            raise ValueError(
                f"label_smoothing apply {self.apply!r}: expected 'gradient', a "
                "transducer has no target to smooth"
            )
        LabelSmoothing(self.type, self.scale)  # refuses wrong values

    def at(
        self, epoch: Optional[int], layers: int, first_layers: int, last_layers: int
    ) -> Optional[LabelSmoothing]:
        """Smoothing in a 1-based sub-epoch (None: after the warm-up) and stage."""
        if self.scale == 0.0:
            return None
        fraction = 1.0
        if self.schedule == "growth":
            fraction = growth_fraction(layers, first_layers, last_layers)
        elif self.schedule == "warmup" and epoch is not None:
            fraction = warmup_fraction(epoch, self.warmup_epochs)
        return LabelSmoothing(self.type, self.scale).times(fraction)
