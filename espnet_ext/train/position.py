"""Where a training stands, in sub-epochs, batches and updates."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping


@dataclass
class Position:
    """Counters of one process; equal in all processes.

    Attributes:
        epoch: 1-based sub-epoch that is being trained, or comes next.
        batch: Batches done of it.
        begun: Its ``begin_sub_epoch`` hooks have been called.
        batches: Batches since the beginning of the training. Skipped updates count.
        updates: Updates of the weights since then. Skipped updates do not count.
        accum_grad: Batches an update in force.
        log_bytes: Length of the step log.
    """

    epoch: int = 1
    batch: int = 0
    begun: bool = False
    batches: int = 0
    updates: int = 0
    accum_grad: int = 0
    log_bytes: int = 0

    def state_dict(self) -> Dict[str, Any]:
        """All attributes."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``."""
        for name, value in state.items():
            setattr(self, name, value)

    def next_sub_epoch(self) -> None:
        """The sub-epoch is finished."""
        self.epoch += 1
        self.batch = 0
        self.begun = False
