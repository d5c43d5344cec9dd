"""The score that learning rate, rollback and selection go by.

The original controls the training by the validation score of the main loss alone, in
nats per sequence; auxiliary losses and weight decay are not part of it. A score of
another key, as before ``transdN`` begins with its main loss, is never compared with it.

Source: reference/training.md 3, 7.
"""

from typing import Any, List, NamedTuple, Optional

from espnet_ext.train.hooks import SubEpochHook, TrainingParts

MAIN, AUXILIARY = "main", "auxiliary"


class ScoredEpoch(NamedTuple):
    """A finished sub-epoch, its score, and what the score is of."""

    epoch: int
    score: float
    key: str = MAIN


def score_name(model: Any) -> str:
    """Name of the main loss among the validation scores."""
    return getattr(model, "score_name", "loss")


def score_key(model: Any, epoch: int) -> str:
    """Whether the main loss is trained in a 1-based sub-epoch."""
    start = getattr(model, "transducer_start_epoch", 1)
    return MAIN if epoch >= start else AUXILIARY


def scored_epochs(parts: TrainingParts) -> List[ScoredEpoch]:
    """Validation scores of all finished sub-epochs."""
    name, found = score_name(parts.model), []
    for epoch, scores in sorted(parts.history.items()):
        value = scores.get("valid", {}).get(name)
        if value is not None:
            key = score_key(parts.model, epoch)
            found.append(ScoredEpoch(epoch, float(value), key))
    return found


class ScoreKeyHook(SubEpochHook):
    """Tells schedulers that ask for it (``score_key``) what the next score is of."""

    def begin_sub_epoch(self, epoch: int, parts: TrainingParts) -> None:
        """See SubEpochHook."""
        for scheduler in parts.schedulers:
            if hasattr(scheduler, "score_key"):
                scheduler.score_key = score_key(parts.model, epoch)


def score_key_hook(parts: TrainingParts, options: Any) -> Optional[SubEpochHook]:
    """Where a scheduler asks for it."""
    asks = any(hasattr(scheduler, "score_key") for scheduler in parts.schedulers)
    return ScoreKeyHook() if asks else None
