"""What other parts of the training do at the borders of sub-epochs and updates.

Growth, rollback, optimizer resets, L2 and the selection of models are hooks: the
driver calls them at fixed points and keeps their state in the checkpoint.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from espnet2.schedulers.abs_scheduler import AbsScheduler

from espnet_ext.streams import Streams
from espnet_ext.train.regime import Regime

Scores = Mapping[str, Mapping[str, float]]  # scores["valid"]["loss"]


@dataclass
class TrainingParts:
    """What a hook may look at and change.

    Attributes:
        model: The model itself, never its DistributedDataParallel wrapper.
        optimizers: One for most tasks.
        schedulers: One an optimizer, None where it has none.
        streams: Named random streams.
        regime: Parsed ``regime_conf``.
        output_dir: Folder of the experiment, with ``Nepoch.pth``.
        is_main: This process writes files and messages (rank 0).
        batches: Batches of this process since the training began.
        updates: Updates of the weights since the training began.
        history: Scores of all finished sub-epochs: ``history[7]["valid"]["loss"]``.
    """

    model: torch.nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    schedulers: Sequence[Optional[AbsScheduler]]
    streams: Streams
    regime: Regime = Regime()
    output_dir: Path = Path(".")
    is_main: bool = True
    batches: int = 0
    updates: int = 0
    history: Dict[int, Scores] = field(default_factory=dict)


class SubEpochHook:
    """Base of all hooks: does nothing and has no state.

    Every process of a distributed training calls every hook, with the same scores.
    """

    def begin_sub_epoch(self, epoch: int, parts: TrainingParts) -> None:
        """Before the first batch of a 1-based sub-epoch, after ``model.set_epoch``.

        Not called again when a training is resumed inside the sub-epoch.
        """

    def before_update(self, num_batches: int, parts: TrainingParts) -> None:
        """Gradients of ``num_batches`` batches are summed and about to be clipped.

        Of a distributed training they are summed over the processes as well.
        """

    def after_update(self, parts: TrainingParts) -> None:
        """The optimizers have taken their step."""

    def end_sub_epoch(self, epoch: int, scores: Scores, parts: TrainingParts) -> None:
        """After validation and the schedulers' steps, before anything is saved."""

    def keep_epochs(self, epoch: int, parts: TrainingParts) -> Sequence[int]:
        """Sub-epochs whose ``Nepoch.pth`` must stay, besides ESPnet's n best."""
        return ()

    def state_dict(self) -> Dict[str, Any]:
        """Numbers, strings, tensors and containers of them: part of the checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``."""


HookFactory = Callable[[TrainingParts, Any], Optional[SubEpochHook]]

# In the order of the calls. A factory gets the parts and the trainer's options and
# returns None where the configuration asks for nothing of it. Its name is the key of
# the hook's state in the checkpoint.
HOOKS: Dict[str, HookFactory] = {}


def build_hooks(parts: TrainingParts, options: Any) -> Dict[str, SubEpochHook]:
    """The hooks that this configuration needs, by name."""
    built = {name: factory(parts, options) for name, factory in HOOKS.items()}
    return {name: hook for name, hook in built.items() if hook is not None}


def hook_states(hooks: Mapping[str, SubEpochHook]) -> Dict[str, Dict[str, Any]]:
    """States of all hooks by name."""
    return {name: hook.state_dict() for name, hook in hooks.items()}


def load_hook_states(
    hooks: Mapping[str, SubEpochHook], states: Mapping[str, Mapping[str, Any]]
) -> List[str]:
    """Restore the hooks; returns the names of hooks without a stored state."""
    for name, hook in hooks.items():
        if name in states:
            hook.load_state_dict(states[name])
    return [name for name in hooks if name not in states]
