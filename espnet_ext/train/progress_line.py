"""The line that says how a training is doing, and the parent's progress bar."""

import datetime
import time
from typing import Dict, Optional

import psutil
import torch

from espnet_ext.progress import report
from espnet_ext.train.sums import Sums


def memory_gib(device: torch.device) -> float:
    """Largest GPU memory in use so far, or what this process holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return psutil.Process().memory_info().rss / 2**30


def duration(seconds: float) -> str:
    """``1:02:03``, with days in front where there are some."""
    return str(datetime.timedelta(seconds=round(seconds)))


class ProgressLine:
    """Measures the time and writes the line.

    Args:
        max_epoch: Sub-epochs of the training.
        done: How many of them are done already, with a fraction.
        device: Of the model.
    """

    def __init__(self, max_epoch: int, done: float, device: torch.device):
        self.max_epoch = max_epoch
        self.device = device
        self._began, self._began_at = done, time.monotonic()
        self._window_at = self._began_at
        self._reported = -1.0

    def restart_window(self) -> None:
        """The frames of the next line are counted from now on."""
        self._window_at = time.monotonic()

    def eta_s(self, done: float) -> Optional[float]:
        """Seconds left at the pace of this process, None before there is one."""
        gone = done - self._began
        if gone <= 0:
            return None
        return (time.monotonic() - self._began_at) / gone * (self.max_epoch - done)

    def tell_parent(self, epoch: int, share: float) -> None:
        """Report to the recipe ten times a sub-epoch."""
        done = epoch - 1 + share
        if done - self._reported >= 0.1 or done < self._reported:
            self._reported = done
            report(done, self.max_epoch, f"epoch {epoch}/{self.max_epoch}")

    def text(
        self,
        epoch: int,
        first: int,
        last: int,
        total: Optional[int],
        window: Sums,
        rates: Dict[str, float],
    ) -> str:
        """The line about batches ``first`` to ``last`` of a sub-epoch."""
        share = last / total if total else 0.0
        eta = self.eta_s(epoch - 1 + share)
        seconds = max(time.monotonic() - self._window_at, 1e-9)
        means = window.means()
        parts = [
            f"{epoch}epoch:train:{first}-{last}batch",
            f"sub-epoch {epoch}/{self.max_epoch} {100 * share:.0f} %",
            f"ETA {'?' if eta is None else duration(eta)}",
            f"loss={means.get('loss', float('nan')):.4g}",
        ]
        if "loss_per_label" in means:
            parts.append(f"loss_per_label={means['loss_per_label']:.4g}")
        parts += [f"{name}={value:.3e}" for name, value in rates.items()]
        if "grad_norm" in means:
            parts.append(f"grad_norm={means['grad_norm']:.4g}")
        parts.append(f"{window.total('frames') / seconds:,.0f} frames/s")
        parts.append(f"{memory_gib(self.device):.2f} GiB")
        shown = ("loss", "loss_per_label", "grad_norm", "frames")
        extra = {name: v for name, v in means.items() if name not in shown}
        parts += [f"{name}={value:.4g}" for name, value in extra.items()]
        return ", ".join(parts)
