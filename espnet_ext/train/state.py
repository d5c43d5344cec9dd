"""Everything a training needs to go on as if it had never been interrupted."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from espnet2.train.reporter import Reporter

from espnet_ext.errors import CheckpointError
from espnet_ext.train.hooks import (
    SubEpochHook,
    TrainingParts,
    hook_states,
    load_hook_states,
)
from espnet_ext.train.nonfinite import NonFiniteGuard
from espnet_ext.train.position import Position
from espnet_ext.train.precision import Precision
from espnet_ext.train.processes import Processes
from espnet_ext.train.sums import Sums

FORMAT = 1
CLOCK = ("time", "gpu_max_cached_mem_GB")  # differ between equal runs


def gradients(model: torch.nn.Module) -> Dict[str, torch.Tensor]:
    """Gradients that wait for their update, by parameter."""
    named = model.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None}


def load_gradients(model: torch.nn.Module, stored: Mapping[str, torch.Tensor]) -> None:
    """Put accumulated gradients back; all others are absent."""
    for name, parameter in model.named_parameters():
        value = stored.get(name)
        parameter.grad = None
        if value is not None:
            parameter.grad = value.to(parameter.device, parameter.dtype).clone()


def reporter_state(reporter: Reporter) -> Dict[str, Any]:
    """ESPnet's, without what a clock said."""
    state = reporter.state_dict()
    for phases in state["stats"].values():
        for phase, values in phases.items():
            phases[phase] = {n: v for n, v in values.items() if n not in CLOCK}
    return state


class TrainingState:
    """Captures and restores; the keys that ESPnet has are named as ESPnet's.

    Args:
        parts: Model, optimizers, schedulers and streams.
        hooks: By name.
        reporter: Scores of the finished sub-epochs.
        precision: Scale of the loss.
        position: Counters.
        sums: Running sums by name.
        guard: Counts of skipped updates.
        processes: Of the training.
        own_models: Each process trains a model of its own.
    """

    def __init__(
        self,
        parts: TrainingParts,
        hooks: Mapping[str, SubEpochHook],
        reporter: Reporter,
        precision: Precision,
        position: Position,
        sums: Mapping[str, Sums],
        guard: NonFiniteGuard,
        processes: Processes,
        own_models: bool,
    ):
        self.parts = parts
        self.hooks = hooks
        self.reporter = reporter
        self.precision = precision
        self.position = position
        self.sums = sums
        self.guard = guard
        self.processes = processes
        self.own_models = own_models

    def _model(self) -> Dict[str, Any]:
        return {
            "model": self.parts.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.parts.optimizers],
            "schedulers": [
                None if s is None else s.state_dict() for s in self.parts.schedulers
            ],
        }

    def capture(self) -> Optional[Dict[str, Any]]:
        """Content of a checkpoint in the main process, None in the others.

        All processes must call it.
        """
        own: Dict[str, Any] = {
            "streams": self.parts.streams.state_dict(),
            "gradients": gradients(self.parts.model),
        }
        if self.own_models and not self.processes.is_main:
            own.update(self._model())
        of_processes = self.processes.gather(own)
        if not self.processes.is_main:
            return None
        return {
            "format": FORMAT,
            **self._model(),
            "reporter": reporter_state(self.reporter),
            "scaler": self.precision.state_dict(),
            "position": self.position.state_dict(),
            "sums": {name: sums.state_dict() for name, sums in self.sums.items()},
            "guard": self.guard.state_dict(),
            "hooks": hook_states(self.hooks),
            "processes": of_processes,
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: It is of another program, or of another model.
        """
        if content.get("format") != FORMAT:
            raise CheckpointError(
                f"the checkpoint has format {content.get('format')}",
                expected=f"format {FORMAT}, of this training driver",
                next_step="train anew, with --init_param for the weights of the last "
                "Nepoch.pth",
            )
        stored: List[Mapping[str, Any]] = content["processes"]
        if len(stored) != self.processes.count:
            raise CheckpointError(
                f"the checkpoint is of {len(stored)} processes",
                expected=f"as many as now: {self.processes.count}",
            )
        own = stored[self.processes.rank]
        self._load_model({**content, **own} if "model" in own else content)
        self.reporter.load_state_dict(content["reporter"])
        self.precision.load_state_dict(content["scaler"])
        self.position.load_state_dict(content["position"])
        for name, state in content["sums"].items():
            self.sums[name].load_state_dict(state)
        self.guard.load_state_dict(content["guard"])
        self.parts.batches = self.position.batches
        self.parts.updates = self.position.updates
        self.parts.history = self.reporter.stats
        load_hook_states(self.hooks, content["hooks"])
        load_gradients(self.parts.model, own["gradients"])
        self.parts.streams.load_state_dict(own["streams"])

    def _load_model(self, content: Mapping[str, Any]) -> None:
        try:
            self.parts.model.load_state_dict(content["model"])
        except RuntimeError as error:
            raise CheckpointError(
                f"the checkpoint is of another model: {error}"
            ) from error
        load_all(self.parts.optimizers, content["optimizers"])
        load_all(self.parts.schedulers, content["schedulers"])


def load_all(targets: Sequence[Any], states: Sequence[Any]) -> None:
    """Restore each target that has a state."""
    for target, state in zip(targets, states, strict=True):
        if target is not None:
            target.load_state_dict(state)
