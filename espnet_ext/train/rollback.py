"""Going back to an earlier model when the last sub-epoch made it much worse.

Source: reference/training.md 7 (RETURNN, ``use_last_best_model``).
"""

import logging
from typing import Any, Dict, Mapping, Optional, Sequence

import torch

from espnet_ext.errors import CheckpointError
from espnet_ext.train.hooks import SubEpochHook, TrainingParts
from espnet_ext.train.regime import Rollback
from espnet_ext.train.scores import ScoredEpoch, scored_epochs

COMMON_PATTERN = (20, 40)  # and all multiples of 80


def rollback_epoch(
    epoch: int, scores: Sequence[ScoredEpoch], options: Rollback
) -> Optional[int]:
    """The sub-epoch whose model sub-epoch ``epoch`` should begin with.

    Args:
        epoch: The one that comes.
        scores: Of finished sub-epochs, in their order.
        options: See Rollback.

    Returns:
        None to go on with the model of the last sub-epoch.
    """
    done = [entry for entry in scores if entry.epoch < epoch]
    if not done or done[-1].epoch != epoch - 1:
        return None
    last = done[-1]
    first = options.first_epoch
    if options.last_epochs is not None:
        first = max(first, epoch - options.last_epochs)
    candidates = [e for e in done if e.epoch >= first and e.key == last.key]
    if options.max_score is not None:
        candidates = [e for e in candidates if not e.score > options.max_score]
    if options.last_scores is not None:
        candidates = candidates[-options.last_scores :]
    better = [
        entry
        for entry in candidates
        if entry.score + options.min_score_distance < last.score
    ]
    if not better:
        return None
    return min(better, key=lambda entry: (entry.score, entry.epoch)).epoch


def buffers_to_keep(model: torch.nn.Module) -> Dict[str, torch.Tensor]:
    """Counters that a rollback leaves as they are, by their name in the state."""
    kept = {}
    for prefix, part in model.named_modules():
        for name in getattr(part, "keep_on_rollback", ()):
            kept[f"{prefix}.{name}" if prefix else name] = getattr(part, name)
    return kept


class RollbackHook(SubEpochHook):
    """Loads an earlier model and clears the optimizers where ``rollback`` says so.

    Learning rate and step counters are not rolled back, as in the original.
    """

    def __init__(self, options: Rollback):
        self.options = options
        self.went_back: Dict[int, int] = {}

    def begin_sub_epoch(self, epoch: int, parts: TrainingParts) -> None:
        """See SubEpochHook.

        Raises:
            CheckpointError: The weights of that sub-epoch are gone.
        """
        wanted = rollback_epoch(epoch, scored_epochs(parts), self.options)
        if wanted is None:
            return
        path = parts.output_dir / f"{wanted}epoch.pth"
        if not path.is_file():
            raise CheckpointError(
                f"sub-epoch {epoch} should begin with the model of sub-epoch {wanted}, "
                "which is gone",
                where=path,
                next_step="regime_conf: {keep_last_checkpoints: 5} keeps it",
            )
        kept = {n: b.clone() for n, b in buffers_to_keep(parts.model).items()}
        state = torch.load(path, map_location="cpu", weights_only=True)
        parts.model.load_state_dict({**state, **kept})
        for optimizer in parts.optimizers:
            optimizer.state.clear()
        if hasattr(parts.model, "set_epoch"):
            parts.model.set_epoch(epoch)
        self.went_back[epoch] = wanted
        if parts.is_main:
            logging.warning(
                f"sub-epoch {epoch} begins with the model of sub-epoch {wanted}: the "
                "last one was worse by more than "
                f"{self.options.min_score_distance:g}; optimizers are reset"
            )

    def state_dict(self) -> Dict[str, Any]:
        """Which sub-epochs began with an earlier model."""
        return {"went_back": dict(self.went_back)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See SubEpochHook."""
        self.went_back = {int(k): int(v) for k, v in state["went_back"].items()}


class KeptCheckpoints(SubEpochHook):
    """Keeps the last n models, and the fixed pattern that the original recognises.

    Sub-epochs 20, 40, 80, 160, 240, .. (reference/training.md 7); ESPnet keeps the n
    best besides.
    """

    def __init__(self, last: int):
        self.last = last

    def keep_epochs(self, epoch: int, parts: TrainingParts) -> Sequence[int]:
        """See SubEpochHook."""
        pattern = [n for n in COMMON_PATTERN if n <= epoch]
        pattern += range(80, epoch + 1, 80)
        return sorted({*pattern, *range(max(epoch - self.last + 1, 1), epoch + 1)})


def rollback_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where the regime has a rollback."""
    rollback = parts.regime.rollback
    return None if rollback is None else RollbackHook(rollback)


def kept_checkpoints_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where the regime says how many of the last models are kept."""
    last = parts.regime.keep_last_checkpoints
    return None if last is None else KeptCheckpoints(last)
