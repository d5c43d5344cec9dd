"""A whole training: sub-epochs of batches, validation, schedulers, files, saves."""

import logging
import math
import signal
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import torch
from espnet2.schedulers.abs_scheduler import (
    AbsEpochStepScheduler,
    AbsScheduler,
    AbsValEpochStepScheduler,
)
from espnet2.train.reporter import Reporter

from espnet_ext.errors import NonFiniteError, TrainingInterrupted
from espnet_ext.streams import Streams, attach
from espnet_ext.train import hook_table  # noqa: F401  (fills the table)
from espnet_ext.train import devtrain, epoch_files, parameter_averaging
from espnet_ext.train.accumulation import accumulation_of
from espnet_ext.train.checkpoint import CheckpointStore
from espnet_ext.train.display import Display
from espnet_ext.train.hooks import TrainingParts, build_hooks
from espnet_ext.train.loading import SubEpochBatches
from espnet_ext.train.nonfinite import NonFiniteGuard
from espnet_ext.train.options import DriverOptions
from espnet_ext.train.position import Position
from espnet_ext.train.precision import Precision
from espnet_ext.train.processes import Processes
from espnet_ext.train.random_state import untouched_generators
from espnet_ext.train.saving import Saver
from espnet_ext.train.signals import StopSignals
from espnet_ext.train.state import TrainingState
from espnet_ext.train.step import BatchResult, Stepper, rates
from espnet_ext.train.step_log import NAME as STEP_LOG
from espnet_ext.train.step_log import StepLog
from espnet_ext.train.sums import Sums
from espnet_ext.train.trace import Tracer
from espnet_ext.train.validation import StopRequested, validate


def call_set_epoch(model: torch.nn.Module, epoch: int) -> None:
    """Tell a model that has ``set_epoch`` which 1-based sub-epoch begins."""
    if hasattr(model, "set_epoch"):
        model.set_epoch(epoch)


class Training:
    """Trains a model from where it stands to the end.

    Args:
        model: On its device.
        optimizers: Of the model.
        schedulers: One an optimizer, or None.
        train_factory: Iterator factory of the training batches.
        valid_factory: Of the validation batches; as its attribute ``devtrain`` that of
            the part of the training set that is scored as well.
        plot_attention: Called with the reporter after each validation, or None.
        options: Of the driver.
        distributed: Several processes train together.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Optional[AbsScheduler]],
        train_factory: Any,
        valid_factory: Any,
        plot_attention: Any,
        options: DriverOptions,
        distributed: bool,
    ):
        self.options = options
        self.folder = Path(options.output_dir)
        self.train_factory, self.valid_factory = train_factory, valid_factory
        self.devtrain_factory = getattr(valid_factory, devtrain.PHASE, None)
        self.plot_attention = plot_attention
        device = next(model.parameters()).device
        self.processes = Processes(distributed, device, options.dist_timeout_seconds)
        streams = Streams(options.seed, self.processes.rank)
        for part in (model, *optimizers):
            attach(part, streams)
        self.reporter = Reporter()
        self.parts = TrainingParts(
            model=model,
            optimizers=optimizers,
            schedulers=schedulers,
            streams=streams,
            regime=options.regime,
            output_dir=self.folder,
            is_main=self.processes.is_main,
            history=self.reporter.stats,
        )
        self.hooks = build_hooks(self.parts, options)
        self.position = Position()
        self.precision = Precision(options, device)
        self.guard = NonFiniteGuard(
            options.nonfinite_in_row, options.nonfinite_share, self.folder
        )
        # of the sub-epoch; since the last line
        self.sums = {name: Sums() for name in ("sub_epoch", "window")}
        self.averaging = parameter_averaging.of(options.regime, self.processes)
        self.state = TrainingState(
            self.parts,
            self.hooks,
            self.reporter,
            self.precision,
            self.position,
            self.sums,
            self.guard,
            self.processes,
            own_models=self.averaging is not None,
        )
        self.store = CheckpointStore(self.folder)
        self.saver = Saver(options, self.state, self.store, self.hooks)
        self.stop = StopSignals()
        self.tracer: Optional[Tracer] = None

    # -- the training ------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, or until asked to stop.

        Raises:
            TrainingInterrupted: After SIGTERM or SIGINT, when all is saved.
            NonFiniteError, DiskFullError, CheckpointError, PeerError: See there.
        """
        with self.stop:
            self.begin()
            try:
                for epoch in range(self.position.epoch, self.options.max_epoch + 1):
                    if self._ends_early():
                        break
                    self._sub_epoch(epoch)
                else:
                    logging.info(
                        f"The training was finished at {self.options.max_epoch} epochs"
                    )
                if self.processes.is_main and self.reporter.stats:
                    epoch_files.average(self.reporter, self.options)
            finally:
                if self.saver.log is not None:
                    self.saver.log.close()
                if self.tracer is not None:
                    self.tracer.close()
                self.display.close()

    def begin(self) -> None:
        """Restore the last checkpoint, if there is one, and open the files."""
        resumed = self.options.resume and self.store.exists()
        if resumed:
            content = self.store.load()
            assert content is not None  # it exists, or CheckpointError
            self.state.restore(content)
            devtrain.check_history(self.options, self.reporter.stats)
        own = self.averaging is not None
        self.dp_model = self.parts.model
        if not own:
            self.dp_model = self.processes.wrap(self.parts.model, self.options)
        if resumed:  # wrapping may draw random numbers
            self.parts.streams.load_state_dict(
                content["processes"][self.processes.rank]["streams"]
            )
        if self.processes.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not resumed:
                self.store.remove()  # of an earlier training that is not continued
            self.saver.log = StepLog(self.folder / STEP_LOG, self.position.log_bytes)
            self.saver.finish_files()  # if the last sub-epoch's were not finished
            if self.options.trace_file:
                self.tracer = Tracer(self.options.trace_file, self.parts.model)
        self.stepper = Stepper(
            self.dp_model,
            self.parts,
            list(self.hooks.values()),
            self.options,
            self.processes,
            self.position,
            self.precision,
            self.guard,
            reduces=not own,
            tracer=self.tracer,
        )
        self.display = Display(self.options, self.processes, self.position, resumed)

    def _ends_early(self) -> bool:
        options, reporter = self.options, self.reporter
        criterion = options.early_stopping_criterion
        return (
            options.patience is not None
            and self.position.epoch > 1
            and not self.position.begun
            and reporter.has(*criterion[:2])
            and reporter.check_early_stopping(options.patience, *criterion)
        )

    def _sub_epoch(self, epoch: int) -> None:
        self.display.began_sub_epoch()
        call_set_epoch(self.parts.model, epoch)
        self.reporter.set_epoch(epoch)
        if not self.position.begun:
            logging.info(f"{epoch}/{self.options.max_epoch}epoch started")
            for hook in self.hooks.values():
                hook.begin_sub_epoch(epoch, self.parts)
            self.guard.begin_sub_epoch()
            self.sums["sub_epoch"].load_state_dict({})
            self.sums["window"].load_state_dict({})
            self.position.begun = True
        self.train_part(epoch)
        if self.averaging is not None:
            self.averaging.average(self.parts.model)
        self.reporter.stats[epoch] = {"train": self._train_scores()}
        # first, as it leaves everything as it was
        devtrain_scores = self._devtrain(epoch)
        self.reporter.stats[epoch]["valid"] = self._validate(epoch)
        if devtrain_scores:
            self.reporter.stats[epoch][devtrain.PHASE] = devtrain_scores
        if self.plot_attention is not None and self.processes.is_main:
            with untouched_generators(), self.reporter.observe("att_plot") as observed:
                self.plot_attention(observed, epoch)
        self._check_score(epoch)
        for scheduler in self.parts.schedulers:
            if isinstance(scheduler, AbsValEpochStepScheduler):
                value = self.reporter.get_value(*self.options.val_scheduler_criterion)
                scheduler.step(value)
            elif isinstance(scheduler, AbsEpochStepScheduler):
                scheduler.step()
        for hook in self.hooks.values():
            hook.end_sub_epoch(epoch, self.reporter.stats[epoch], self.parts)
        if self.processes.is_main:
            self.display.sub_epoch(epoch, self.reporter)
        self.saver.save_epoch(epoch)
        self.position.next_sub_epoch()
        self.saver.save()
        if self.processes.is_main:
            self.saver.finish_files()
        if self.processes.any([self.stop.received is not None])[0]:
            if epoch < self.options.max_epoch:
                self._interrupted()

    # -- training batches --------------------------------------------------------

    def train_part(self, epoch: int) -> None:
        """The training batches of a sub-epoch that are left."""
        options, position = self.options, self.position
        batches = SubEpochBatches(
            self.train_factory, epoch, position.batch, options.seed
        )
        accumulation = accumulation_of(options.regime, options.accum_grad, epoch)
        self.stepper.begin_sub_epoch(accumulation, batches.total or 0)
        self.display.total = batches.total
        self.dp_model.train()
        while True:
            item = next(batches, None)
            average = self.averaging is not None and self.averaging.due(position)
            due = self.saver.due(accumulation.ends(position))
            ended, stop, save, average = self.processes.any(
                [item is None, self.stop.received is not None, due, average]
            )
            if average:
                self.averaging.average(self.parts.model)
            if ended:
                if item is not None:
                    logging.warning("another process has no batches left: one dropped")
                return
            if options.no_forward_run:
                position.batch += 1
                position.batches += 1
            else:
                self._record(self.stepper.batch(*item))
            if save or stop:
                self.saver.save()
            if stop:
                self._interrupted()
            if self.tracer is not None and self.tracer.step > options.trace_steps:
                raise TrainingInterrupted(
                    "the trace is complete", where=options.trace_file
                )

    def _record(self, result: BatchResult) -> None:
        """Remember and show what a batch gave."""
        position = self.position
        for name in ("sub_epoch", "window"):
            self.sums[name].add(result.stats, result.sequences)
            self.sums[name].add(result.rates)
            if result.grad_norm is not None:
                clipped = 100.0 * (result.grad_norm > self.options.grad_clip > 0)
                self.sums[name].add({"grad_norm": result.grad_norm, "clip": clipped})
        self.sums["window"].add({"frames": result.frames})
        if self.saver.log is not None:
            line: Dict[str, Any] = {
                "epoch": position.epoch,
                "batch": position.batch,
                "update": position.updates,
                **{name: _json(value) for name, value in result.stats.items()},
                **result.rates,
            }
            if result.grad_norm is not None:
                line["grad_norm"] = _json(result.grad_norm)
            if result.skipped:
                line["skipped"] = True
            self.saver.log.write(line)
        self.display.batch(self.sums["window"], rates(self.parts.optimizers))

    # -- the end of a sub-epoch ---------------------------------------------------

    def _train_scores(self) -> Dict[str, Any]:
        scores: Dict[str, Any] = self.sums["sub_epoch"].means()
        scores["skipped_updates"] = float(self.guard.skipped)
        scores["total_count"] = self.position.batches
        return {**scores, **self.display.costs()}

    def _devtrain(self, epoch: int) -> Dict[str, Any]:
        """Scores of a part of the training set, {} without one; nothing else."""
        if self.devtrain_factory is None:
            return {}
        streams = self.parts.streams.state_dict()
        factory, phase = self.devtrain_factory, devtrain.PHASE
        with untouched_generators():
            scores = self._validate(epoch, factory, phase)
        self.parts.streams.load_state_dict(streams)
        self.stepper.buffers.restore()
        return scores

    def _validate(
        self, epoch: int, factory: Any = None, phase: str = "valid"
    ) -> Dict[str, Any]:
        """Scores; a stop in between leaves everything as it was before."""
        self.display.began_validation()
        streams = self.parts.streams.state_dict()
        self.stepper.buffers.remember()
        factory = factory or self.valid_factory
        batches = SubEpochBatches(factory, epoch, 0, self.options.seed)
        try:
            sums, count = validate(
                self.parts.model,
                batches,
                self.processes,
                self.precision,
                self.stop,
                forward_too=not self.options.no_forward_run,
            )
        except StopRequested:
            self.parts.streams.load_state_dict(streams)
            self.stepper.buffers.restore()
            self.saver.save()
            self._interrupted()
        before = self.reporter.stats.get(epoch - 1, {}).get(phase, {})
        total = before.get("total_count", 0) + count
        return {**sums.means(), "total_count": total, **self.display.costs()}

    def _check_score(self, epoch: int) -> None:
        loss = self.reporter.stats[epoch]["valid"].get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.options.regime.stop_on_nonfinite_score:
            raise NonFiniteError(
                f"the validation loss of sub-epoch {epoch} is {loss}",
                where=self.folder,
                next_step="regime_conf: {stop_on_nonfinite_score: false} goes on "
                "nevertheless; the last checkpoint is from before",
            )
        logging.warning(f"the validation loss of sub-epoch {epoch} is {loss}")

    def _interrupted(self) -> None:
        number = self.stop.received
        name = signal.Signals(number).name if number is not None else "a request"
        raise TrainingInterrupted(
            f"stopped by {name} in sub-epoch {self.position.epoch} after batch "
            f"{self.position.batch}; everything is saved",
            where=self.folder,
            next_step="the same command continues from there",
        )


def _json(value: float) -> Any:
    """Numbers as they are; what JSON does not know as text."""
    return value if math.isfinite(value) else repr(value)
