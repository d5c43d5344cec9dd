"""The original's way of using several GPUs: local steps, and now and then the mean.

Each process trains a model of its own on data in an order of its own; every so many
seconds the parameters are replaced by their mean. The optimizers' states stay local.

Source: reference/training.md 10 (Horovod, ``reduce_type param``, 100 s).
"""

import time
from typing import Optional

import torch

from espnet_ext.errors import OptionError
from espnet_ext.train.position import Position
from espnet_ext.train.processes import Processes, average_models
from espnet_ext.train.regime import MultiGpu, Regime


class ParameterAveraging:
    """Decides when, and averages.

    Args:
        options: Intervals, in seconds or (for tests) in updates.
        processes: Of the training.
    """

    def __init__(self, options: MultiGpu, processes: Processes):
        self.options = options
        self.processes = processes
        self._last = time.monotonic()
        self._last_updates = -1

    def due(self, position: Position) -> bool:
        """Whether the main process wants the mean before the next batch."""
        if not self.processes.is_main:
            return False
        updates = self.options.parameter_average_interval_updates
        if updates is not None:
            done = position.updates
            if done == self._last_updates or done % updates != 0:
                return False
            self._last_updates = done
            return done > 0
        seconds = self.options.parameter_average_interval_s
        return seconds is not None and time.monotonic() - self._last >= seconds

    @torch.no_grad()
    def average(self, model: torch.nn.Module) -> None:
        """Replace parameters and statistics by their means over the processes."""
        average_models(self.processes, dict(model.state_dict()))
        self._last = time.monotonic()


def of(regime: Regime, processes: Processes) -> Optional[ParameterAveraging]:
    """The scheme where the regime asks for it.

    Raises:
        OptionError: It asks for another number of processes.
    """
    options = regime.multi_gpu
    if options is None:
        return None
    if options.processes != processes.count:
        raise OptionError(
            f"regime_conf.multi_gpu.processes is {options.processes}, "
            f"{processes.count} run",
            next_step=f"torchrun --nproc_per_node {options.processes} -m "
            "espnet_ext.bin.asr_train --config ...",
        )
    return ParameterAveraging(options, processes) if processes.distributed else None
