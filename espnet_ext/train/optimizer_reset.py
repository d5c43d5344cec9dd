"""Clearing the optimizers' state where the original builds its network anew.

That happens at every change of the network's description: a growing stage, the size or
number of accumulated batches, the factor of a label smoothing, the begin of the main
loss or of regularisation. The gradients of an unfinished group are lost as well.

Source: reference/training.md 5, 6.
"""

import logging
from typing import Any, Optional, Tuple

from espnet_ext.train.hooks import SubEpochHook, TrainingParts


def description(parts: TrainingParts, epoch: int) -> Tuple[Any, ...]:
    """What the network and its overrides are in a 1-based sub-epoch.

    Leaves the model in the state of that sub-epoch.
    """
    model = parts.model
    if hasattr(model, "set_epoch"):
        model.set_epoch(epoch)
    size = parts.regime.batch_size(epoch)
    batches = None if size is None else (size.max_frames, size.accum_grad)
    smoothing = getattr(model, "smoothing", None)
    amount = None if smoothing is None else model.smoothing_now(smoothing)
    decay = getattr(model, "weight_decay", None)
    decays = decay is not None and tuple(sorted(decay.factors().items()))
    starts = epoch >= getattr(model, "transducer_start_epoch", 1)
    stage = model.stage_key() if hasattr(model, "stage_key") else None
    regularises = _regularises(model, epoch)
    return stage, batches, amount, decays, starts, regularises


def _regularises(model: Any, epoch: int) -> bool:
    growth = getattr(getattr(model, "encoder", None), "growth", None)
    return growth is None or epoch >= growth.regularise_from_epoch


class OptimizerResetHook(SubEpochHook):
    """Compares each sub-epoch's description with that of the one before."""

    def begin_sub_epoch(self, epoch: int, parts: TrainingParts) -> None:
        """See SubEpochHook."""
        if epoch == 1:
            return
        before = description(parts, epoch - 1)
        now = description(parts, epoch)
        if now == before:
            return
        for optimizer in parts.optimizers:
            optimizer.state.clear()
            optimizer.zero_grad(set_to_none=True)
        if parts.is_main:
            logging.info(
                f"sub-epoch {epoch}: the network changes, optimizers are reset"
            )


def optimizer_reset_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where ``reset_optimizer`` is ``at_growth``."""
    return OptimizerResetHook() if parts.regime.reset_optimizer == "at_growth" else None
