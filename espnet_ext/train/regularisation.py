"""Hooks: weight decay, and which entries of a growing model an optimizer may move."""

from typing import Any, Optional

from espnet_ext.train.hooks import SubEpochHook, TrainingParts


def decoupled(optimizer: Any) -> bool:
    """Whether the optimizer decays the weights itself."""
    return getattr(optimizer, "decoupled_l2_factor", None) is not None


class WeightDecayHook(SubEpochHook):
    """Adds the gradient of the model's weight decay term before each update.

    Once for each accumulated batch, as the term is part of the objective of each batch,
    and after the gradients of all processes are summed. With a decoupled optimizer the
    parameters get their factor instead.
    """

    def __init__(self, parts: TrainingParts):
        self.decoupled = any(decoupled(optimizer) for optimizer in parts.optimizers)
        parts.model.trainer_adds_decay = True

    def before_update(self, num_batches: int, parts: TrainingParts) -> None:
        """See SubEpochHook."""
        decay = parts.model.weight_decay
        if not self.decoupled:
            decay.add_gradients(num_batches)
            return
        for parameter in parts.model.parameters():
            parameter.l2_factor = 0.0
        for parameter, factor, _ in decay.parameters():
            parameter.l2_factor = factor


class UsedEntriesHook(SubEpochHook):
    """Tells optimizers that draw noise or decay which entries are in use."""

    def begin_sub_epoch(self, epoch: int, parts: TrainingParts) -> None:
        """See SubEpochHook."""
        self._tell(parts)

    def before_update(self, num_batches: int, parts: TrainingParts) -> None:
        """After a resumption inside of a sub-epoch, too."""
        self._tell(parts)

    @staticmethod
    def _tell(parts: TrainingParts) -> None:
        masks = parts.model.weight_decay.masks()
        for name, parameter in parts.model.named_parameters():
            mask = masks.get(name)
            parameter.used_mask = None if mask is None else mask.to(parameter.device)


def weight_decay_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where the model has a weight decay."""
    return (
        WeightDecayHook(parts) if getattr(parts.model, "weight_decay", None) else None
    )


def used_entries_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where an optimizer moves parameters by more than their gradients."""
    moves = any(
        decoupled(optimizer) or getattr(optimizer, "gradient_noise_std", 0.0)
        for optimizer in parts.optimizers
    )
    known = hasattr(parts.model, "weight_decay")
    return UsedEntriesHook() if moves and known else None
