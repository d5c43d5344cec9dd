"""When and what a training saves."""

import time
from typing import Any, Callable, Mapping, Optional

from espnet_ext.errors import OutputError, UserError
from espnet_ext.train import epoch_files
from espnet_ext.train.checkpoint import CheckpointStore
from espnet_ext.train.hooks import SubEpochHook
from espnet_ext.train.options import DriverOptions
from espnet_ext.train.state import TrainingState
from espnet_ext.train.step_log import StepLog


class Saver:
    """Writes checkpoints and the files of finished sub-epochs.

    Args:
        options: Of the driver.
        state: What a checkpoint holds.
        store: Where it is kept.
        hooks: By name; they may want ``Nepoch.pth`` kept.

    Attributes:
        log: The step log, in the main process.
    """

    def __init__(
        self,
        options: DriverOptions,
        state: TrainingState,
        store: CheckpointStore,
        hooks: Mapping[str, SubEpochHook],
    ):
        self.options = options
        self.state = state
        self.store = store
        self.hooks = hooks
        self.log: Optional[StepLog] = None
        self._last = time.monotonic()

    def due(self, ends_group: bool) -> bool:
        """Whether to save after the next batch; it ends a group of batches or not."""
        minutes = self.options.save_interval_minutes
        if minutes is not None and self.state.processes.is_main:
            if time.monotonic() - self._last >= 60.0 * minutes:
                return True
        updates = self.options.save_interval_updates
        if updates is None or not ends_group:
            return False
        return (self.state.position.updates + 1) % updates == 0

    def save(self) -> None:
        """Save everything; all processes must call it.

        Raises:
            DiskFullError, OutputError: In all processes, if the main one cannot.
        """
        if self.log is not None:
            self.state.position.log_bytes = self.log.flush()
        content = self.state.capture()
        self._in_main_process(lambda: self.store.save(content))
        self._last = time.monotonic()

    def save_epoch(self, epoch: int) -> None:
        """Store the weights of a sub-epoch; errors as of ``save``."""
        model = self.state.parts.model
        self._in_main_process(
            lambda: epoch_files.save_epoch(model, epoch, self.options)
        )

    def _in_main_process(self, work: Callable[[], Any]) -> None:
        error: Optional[Exception] = None
        if self.state.processes.is_main:
            try:
                work()
            except (UserError, OSError) as raised:
                error = raised
        failed = self.state.processes.any([error is not None])[0]
        if error is not None:
            raise error
        if failed:
            raise OutputError(
                "the main process could not save", next_step="its log says why"
            )

    def finish_files(self) -> None:
        """Links, means and removals after a sub-epoch; may be done twice.

        Done in the main process, after the checkpoint: a training that is killed in
        between does it when it continues.
        """
        position, reporter = self.state.position, self.state.reporter
        epoch = position.epoch - 1
        if epoch < 1 or position.begun or epoch not in reporter.stats:
            return
        epoch_files.update_links(epoch, reporter, self.options)
        interval = self.options.nbest_averaging_interval
        if interval > 0 and epoch % interval == 0:
            epoch_files.average(reporter, self.options, f"till{epoch}epoch")
        keep = [
            number
            for hook in self.hooks.values()
            for number in hook.keep_epochs(epoch, self.state.parts)
        ]
        epoch_files.clean_up(epoch, reporter, self.options, keep)
