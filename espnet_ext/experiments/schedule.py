"""Growth stages, preset learning rates and batch sizes of a regime, and their curves.

Source: reference/parts.md 2.2, training.md 2 and 4.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.schedulers.rates import Segment

SAMPLES_PER_FRAME = 80  # 10 ms at 8 kHz
LOW_EPOCHS = 30  # last part of the one-cycle schedule


@dataclasses.dataclass(frozen=True)
class Growth:
    """Layers of all stages, and sub-epochs of all but the last."""

    layers: Tuple[int, ...]
    epochs: Tuple[int, ...]

    def first_epochs(self) -> List[int]:
        """1-based sub-epoch in which each stage begins."""
        firsts = [1]
        for epochs in self.epochs:
            firsts.append(firsts[-1] + epochs)
        return firsts

    def layers_at(self, epoch: int) -> int:
        """Active layers in a 1-based sub-epoch."""
        stage = sum(first <= epoch for first in self.first_epochs()) - 1
        return self.layers[stage]


def growth_of(regime: Mapping[str, Any], num_layers: int) -> Growth:
    """Stages of a regime for an encoder with ``num_layers`` layers."""
    described = regime.get("growth") or {"layers": [], "epochs": []}
    stages = [
        (layers, epochs)
        for layers, epochs in zip(described["layers"], described["epochs"])
        if layers < num_layers
    ]
    return Growth(
        (*(layers for layers, _ in stages), num_layers),
        tuple(epochs for _, epochs in stages),
    )


def growth_of_encoder(options: Mapping[str, Any]) -> Growth:
    """Stages that the options of an encoder ask for; one if it does not grow."""
    layers = options.get("num_layers", options.get("num_blocks"))  # ESPnet: blocks
    layers = layers if isinstance(layers, int) else 0
    first = options.get("growth_start_layers")  # conv_blstm
    if isinstance(first, int):
        epochs = options.get("growth_epochs_per_layer", 2)
        return Growth(tuple(range(first, layers + 1)), (epochs,) * (layers - first))
    growth = options.get("growth") or {}  # staged_conformer
    return Growth((*growth.get("layers", ()), layers), tuple(growth.get("epochs", ())))


def preset_rates(rates: Mapping[str, Any], growth: Growth) -> List[Segment]:
    """Segments (from, to, sub-epochs): one a stage if wanted, then the rest."""
    ramp = rates.get("each_stage")
    stages = [(*ramp, epochs) for epochs in growth.epochs] if ramp else []
    return [*stages, *(tuple(segment) for segment in rates["last"])]


def with_peak(segments: Sequence[Segment], peak: float) -> List[Segment]:
    """The same segments with another highest rate."""
    highest = max(max(start, end) for start, end, _ in segments)
    return [
        (
            peak if start == highest else start,
            peak if end == highest else end,
            epochs,
        )
        for start, end, epochs in segments
    ]


def one_cycle(
    stages: Sequence[Segment], peak: float, min_lr: float, max_epoch: int
) -> List[Segment]:
    """After the ramps of the growth: up to the peak, to a tenth of it, to the lowest.

    Raises:
        OptionError: There is no room for it.
    """
    used = sum(epochs for _, _, epochs in stages)
    rest = max_epoch - used - LOW_EPOCHS
    if rest < 2:
        raise OptionError(
            f"oclr does not fit into {max_epoch} sub-epochs",
            expected=f"at least {used + LOW_EPOCHS + 2} (nepN)",
        )
    start = stages[0][0] if stages else peak / 1e4
    return [
        *stages,
        (start, peak, rest // 2),
        (peak, peak / 10, rest - rest // 2),
        (peak / 10, min_lr, LOW_EPOCHS),
    ]


def batch_schedule(
    batches: Sequence[Sequence[Any]], growth: Growth, accumulation: Optional[int]
) -> List[Dict[str, int]]:
    """Frames a batch and batches an update, from which sub-epoch on.

    Args:
        batches: [sub-epoch or stageN, frames, accumulated batches].
        growth: For ``stageN``; a stage that does not exist is left out.
        accumulation: Replaces the number that the last entry has.
    """
    usual = batches[-1][2]
    firsts = growth.first_epochs()
    schedule = []
    for begin, frames, accumulated in batches:
        if isinstance(begin, str):
            stage = int(begin.removeprefix("stage"))
            if stage > len(firsts):
                continue
            begin = firsts[stage - 1]
        if accumulation and accumulated == usual:
            accumulated = accumulation
        entry = {"from_epoch": begin, "max_frames": frames, "accum_grad": accumulated}
        schedule.append(entry)
    return schedule
