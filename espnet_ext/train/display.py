"""What the user sees of a training: lines, tables, TensorBoard, pictures."""

import datetime
import logging
import time
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from espnet2.train.reporter import Reporter

from espnet_ext.train.curve import draw_curve
from espnet_ext.train.options import DriverOptions
from espnet_ext.train.position import Position
from espnet_ext.train.processes import Processes
from espnet_ext.train.progress_line import ProgressLine
from espnet_ext.train.summary import table, write_table
from espnet_ext.train.sums import Sums


class Display:
    """Shows the training; the other processes than the main one show nothing.

    Args:
        options: Of the driver.
        processes: Of the training.
        position: Counters, read only.
        resumed: The training is continued.

    Attributes:
        total: Batches of the sub-epoch, None if unknown.
    """

    def __init__(
        self,
        options: DriverOptions,
        processes: Processes,
        position: Position,
        resumed: bool,
    ):
        self.options = options
        self.processes = processes
        self.position = position
        self.folder = Path(options.output_dir)
        self.total: Optional[int] = None
        self.phases = ("train", "valid", *(["devtrain"] if options.devtrain else []))
        self.line = ProgressLine(
            options.max_epoch, position.epoch - 1, processes.device
        )
        self.writers: Dict[str, Any] = {}
        if options.use_tensorboard and processes.is_main:
            from torch.utils.tensorboard import SummaryWriter

            # what was written after the checkpoint will be written again
            purge = position.batches + 1 if resumed else None
            for phase in self.phases:
                folder = str(self.folder / "tensorboard" / phase)
                self.writers[phase] = SummaryWriter(folder, purge_step=purge)
        self._began = time.perf_counter()
        self._window_first = position.batch + 1

    def close(self) -> None:
        """Write what is left."""
        for writer in self.writers.values():
            writer.close()

    def began_sub_epoch(self) -> None:
        """Measure the time of the training part from now on."""
        self._began = time.perf_counter()
        self._window_first = self.position.batch + 1
        self.line.restart_window()
        if self.processes.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def began_validation(self) -> None:
        """Measure the time of the validation from now on."""
        self._began = time.perf_counter()

    def costs(self) -> Dict[str, Any]:
        """Time since the part began, and GPU memory; as ESPnet's reporter has them."""
        seconds = time.perf_counter() - self._began
        found: Dict[str, Any] = {"time": datetime.timedelta(seconds=seconds)}
        if torch.cuda.is_initialized():
            reserved = torch.cuda.max_memory_reserved() / 2**30
            found["gpu_max_cached_mem_GB"] = reserved
        return found

    def _interval(self) -> int:
        if self.options.log_interval is not None:
            return self.options.log_interval
        return max(self.total // 20, 10) if self.total else 100

    def batch(self, window: Sums, rates: Dict[str, float]) -> None:
        """A batch is done; ``window`` is emptied when its line has been shown."""
        position = self.position
        share = position.batch / self.total if self.total else 0.0
        if self.processes.is_main:
            self.line.tell_parent(position.epoch, share)
        if position.batch % self._interval() != 0:
            return
        if self.processes.is_main:
            first = self._window_first
            text = self.line.text(
                position.epoch, first, position.batch, self.total, window, rates
            )
            logging.info(text)
            self._scalars("train", window.means())
        self._window_first = position.batch + 1
        window.load_state_dict({})
        self.line.restart_window()

    def _scalars(self, phase: str, values: Dict[str, Any]) -> None:
        numbers = {n: v for n, v in values.items() if isinstance(v, (int, float))}
        if phase in self.writers:
            for name, value in numbers.items():
                self.writers[phase].add_scalar(name, value, self.position.batches)
        if self.options.use_wandb:
            import wandb

            named = {f"{phase}/{name}": value for name, value in numbers.items()}
            wandb.log({**named, "iteration": self.position.batches})

    def sub_epoch(self, epoch: int, reporter: Reporter) -> None:
        """A sub-epoch is done and its scores are known."""
        logging.info(reporter.log_message())
        logging.info("scores\n" + table(epoch, reporter.stats))
        write_table(self.folder, reporter.stats)
        for phase in self.phases:
            values = dict(reporter.stats[epoch][phase])
            values.pop("total_count", None)
            self._scalars(phase, {f"epoch/{n}": v for n, v in values.items()})
        for writer in self.writers.values():
            writer.flush()
        if self.options.use_matplotlib:
            reporter.matplotlib_plot(self.folder / "images")
            named = self.options.arguments.get("experiment_conf") or {}
            draw_curve(self.folder, reporter.stats, named.get("name"))
