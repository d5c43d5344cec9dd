"""One batch: forward, backward and, at the end of a group, the update."""

# Dimensions: B sequences of a batch
import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.add_gradient_noise import add_gradient_noise
from espnet2.torch_utils.device_funcs import to_device

from espnet_ext.errors import NonFiniteError, OptionError
from espnet_ext.train.accumulation import Accumulation
from espnet_ext.train.hooks import SubEpochHook, TrainingParts
from espnet_ext.train.nonfinite import BufferGuard, NonFiniteGuard, largest_norm
from espnet_ext.train.options import DriverOptions
from espnet_ext.train.position import Position
from espnet_ext.train.precision import Precision
from espnet_ext.train.processes import Processes, local_gradients
from espnet_ext.train.trace import Tracer


@dataclass
class BatchResult:
    """What a batch gave, over all processes.

    Attributes:
        stats: What the model reports, and ``loss_per_label``.
        sequences, labels, frames: Sizes; frames of the input, 10 ms where it is a
            waveform of known rate.
        own_loss: Mean loss of this process's sequences alone.
        updated: Weights were updated.
        skipped: An update was due and not made, its gradient not being finite.
        grad_norm: Before clipping, where an update was due.
        rates: Learning rate of each parameter group, ``optim0_lr0`` and so on.
    """

    stats: Dict[str, float]
    sequences: float
    labels: float
    frames: float
    own_loss: float = math.nan
    updated: bool = False
    skipped: bool = False
    grad_norm: Optional[float] = None
    rates: Dict[str, float] = field(default_factory=dict)


def forward(model: torch.nn.Module, batch: Mapping[str, Any]) -> Tuple:
    """Loss, statistics and number of sequences, from either form ESPnet knows."""
    result = model(**batch)
    if not isinstance(result, dict):
        return result
    if result.get("optim_idx") is not None:
        raise OptionError(
            "the model chooses an optimizer for each batch",
            expected="one optimizer",
            next_step="train it with espnet2.bin.asr_train",
        )
    return result["loss"], result["stats"], result["weight"]


def input_frames(batch: Mapping[str, Any], model: torch.nn.Module) -> float:
    """Input frames of a batch: of features, or 10 ms of waveforms."""
    lengths_B = batch.get("speech_lengths")
    if lengths_B is None:
        return 0.0
    total = float(lengths_B.sum())
    if batch["speech"].dim() > 2:
        return total
    hop = getattr(getattr(model, "frontend", None), "hop_length", None)
    return total / hop if hop else total / 80.0


class Stepper:
    """Does the work of a batch on everything that is trained.

    Args:
        model: Perhaps wrapped for several processes.
        parts: What the hooks see.
        hooks: Called before and after updates.
        options: Of the driver.
        processes: Of the training.
        position: Counters; advanced here.
        precision: Mixed precision.
        guard: Against values that are not finite.
        reduces: Gradients are summed over the processes (not where each process
            trains a model of its own).
        tracer: Writes digests of everything, or None.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        parts: TrainingParts,
        hooks: Sequence[SubEpochHook],
        options: DriverOptions,
        processes: Processes,
        position: Position,
        precision: Precision,
        guard: NonFiniteGuard,
        reduces: bool = True,
        tracer: Optional[Tracer] = None,
    ):
        self.model = model
        self.parts = parts
        self.hooks = hooks
        self.options = options
        self.processes = processes
        self.position = position
        self.precision = precision
        self.guard = guard
        self.reduces = reduces and processes.distributed
        self.tracer = tracer
        self.sums_losses = getattr(parts.model, "loss_reduction", "mean") == "sum"
        self.buffers = BufferGuard(parts.model)
        self.group: List[Tuple[Sequence[str], Mapping[str, Any], float]] = []
        self.limit = largest_norm(parts.model)
        self.fresh = True

    def begin_sub_epoch(self, accumulation: Accumulation, expected: int) -> None:
        """Choose the accumulation; ``expected`` batches follow, 0 if unknown.

        Gradients of an unfinished group are dropped if its size changes, as the
        original does, which builds its network anew then.
        """
        if self.position.accum_grad not in (0, accumulation.num_batches):
            self.drop_gradients()
        self.position.accum_grad = accumulation.num_batches
        self.accumulation = accumulation
        self.expected_updates = expected // accumulation.num_batches
        self.fresh = True

    def drop_gradients(self) -> None:
        """Forget gradients that have not been used."""
        for optimizer in self.parts.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def batch(self, ids: Sequence[str], batch: Mapping[str, Any]) -> BatchResult:
        """Train on one batch and advance the position.

        Raises:
            NonFiniteError: Too many updates were skipped.
        """
        begins = self.accumulation.begins(self.position)
        ends = self.accumulation.ends(self.position)
        if begins:
            self.drop_gradients()
        if begins or self.fresh:
            self.buffers.remember()
            self.group = []
            self.fresh = False
        batch = to_device(dict(batch, utt_id=list(ids)), self.processes.device)
        if self.tracer is not None:
            self.tracer.batch(list(ids), batch)
        with local_gradients(self.model, not ends):
            with self.precision.autocast():
                loss, stats, weight = forward(self.model, batch)
                loss, result = self._over_processes(loss, stats, weight, batch)
            self.precision.backward(loss * self.accumulation.loss_scale)
        if self.tracer is not None:
            self.tracer.gradients()
        self.group.append((ids, batch, result.own_loss))
        self.position.batch += 1
        self.position.batches += 1
        self.parts.batches = self.position.batches
        if ends:
            self._update(result)
            self.fresh = True
        result.rates = rates(self.parts.optimizers)
        if self.tracer is not None:
            self.tracer.end_step(result.stats["loss"])
        return result

    def _over_processes(
        self, loss: torch.Tensor, stats: Mapping, weight: torch.Tensor, batch: Mapping
    ) -> Tuple[torch.Tensor, BatchResult]:
        """The objective of all processes, and what the batch gave in all of them.

        A model that sums its loss over sequences: the objective is the sum over all
        processes. One that averages: the mean over the sequences of all processes.
        DistributedDataParallel divides by the number of processes, hence the factor.
        """
        names = sorted(name for name, value in stats.items() if value is not None)
        sequences = float(weight)
        labels = batch.get("text_lengths")
        sizes = [
            sequences,
            0.0 if labels is None else float(labels.sum()),
            input_frames(batch, self.parts.model),
        ]
        values = torch.stack(
            [torch.as_tensor(stats[n]).detach().double().mean().cpu() for n in names]
        ).tolist()
        weighted = [value * sequences for value in values]
        totals = self.processes.sums([*sizes, *weighted])
        all_sequences, all_labels, all_frames = totals[:3]
        means = [total / max(all_sequences, 1e-9) for total in totals[3:]]
        result = BatchResult(
            dict(zip(names, means)),
            all_sequences,
            all_labels,
            all_frames,
            own_loss=dict(zip(names, values)).get("loss", math.nan),
        )
        if all_labels:
            per_sequence = result.stats.get("loss", math.nan)
            result.stats["loss_per_label"] = per_sequence * all_sequences / all_labels
        if self.reduces:
            share = 1.0 if self.sums_losses else sequences / max(all_sequences, 1e-9)
            loss = loss * (share * self.processes.count)
        return loss.sum(), result

    def _update(self, result: BatchResult) -> None:
        options, parts = self.options, self.parts
        self.precision.unscale(parts.optimizers)
        for hook in self.hooks:
            hook.before_update(self.accumulation.num_batches, parts)
        if options.grad_noise:
            add_gradient_noise(
                parts.model, self.position.batches, 100, eta=1.0, scale_factor=0.55
            )
        norm = float(
            torch.nn.utils.clip_grad_norm_(
                parts.model.parameters(),
                max_norm=options.grad_clip if options.grad_clip > 0 else math.inf,
                norm_type=options.grad_clip_type,
            )
        )
        result.grad_norm = norm
        if not norm < self.limit:  # NaN as well
            result.skipped = True
            self.drop_gradients()
            self.buffers.restore(only_nonfinite=True)
            if self.precision.overflowed() and math.isfinite(result.stats["loss"]):
                return  # float16: the scale is lowered, which is how it works
            losses = [(list(ids), loss) for ids, _, loss in self.group]
            if self.reduces:  # all processes are here, because all see this norm
                everywhere = self.processes.gather(losses)
                losses = [pair for own in everywhere for pair in own] or losses
            self.guard.bad(norm, self.group, losses, self.expected_updates)
            return
        check_rates(parts.optimizers)
        self.precision.step(parts.optimizers)
        for scheduler in parts.schedulers:
            if isinstance(scheduler, AbsBatchStepScheduler):
                scheduler.step()
        self.guard.good()
        self.position.updates += 1
        parts.updates = self.position.updates
        result.updated = True
        for hook in self.hooks:
            hook.after_update(parts)
        self.drop_gradients()


def rates(optimizers: Sequence[torch.optim.Optimizer]) -> Dict[str, float]:
    """Learning rates by ESPnet's names."""
    return {
        f"optim{number}_lr{index}": float(group["lr"])
        for number, optimizer in enumerate(optimizers)
        for index, group in enumerate(optimizer.param_groups)
        if "lr" in group
    }


def check_rates(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Refuse a learning rate that would make weights non-finite.

    Raises:
        NonFiniteError: Names it.
    """
    for name, rate in rates(optimizers).items():
        if not math.isfinite(rate):
            raise NonFiniteError(
                f"the learning rate {name} is {rate}",
                expected="a finite number",
                next_step="correct the scheduler's options",
            )
