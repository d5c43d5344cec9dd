"""``regime_conf``: what the original's training has and ESPnet has no option for.

Parsed once into frozen dataclasses; the sub-epoch iterator, the driver and the
selection of models each read their part.

Source: reference/training.md; the names are those of ``experiments/planned.yaml``.
"""

from dataclasses import dataclass, fields
from typing import Any, Mapping, Optional, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

SEGMENT_ORDERS = ("shuffled_sorted_in_chunks",)
RESETS = ("at_growth", "never")
_OPTIONAL_COUNTS = ("max_labels", "max_sequences")


@dataclass(frozen=True)
class Rollback:
    """Go back to an earlier model when the last score is worse (use_last_best_model).

    Attributes:
        last_scores: Compare with the last so many scores, or
        last_epochs: with those of the last so many sub-epochs.
        max_score: Scores above do not count.
        min_score_distance: Go back if the last score is worse by this.
        first_epoch: Scores before this sub-epoch do not count.
    """

    last_scores: Optional[int] = None
    last_epochs: Optional[int] = None
    max_score: Optional[float] = None
    min_score_distance: float = 0.0
    first_epoch: int = 1


@dataclass(frozen=True)
class BatchSize:
    """Size of the training batches from a sub-epoch on.

    Attributes:
        from_epoch: First 1-based sub-epoch.
        max_frames: Sequences times frames of 10 ms of the longest, at most.
        accum_grad: Batches whose gradients are summed for an update.
    """

    from_epoch: int
    max_frames: int
    accum_grad: int = 1


@dataclass(frozen=True)
class MultiGpu:
    """The original's scheme: independent processes whose parameters are averaged.

    Attributes:
        processes: Number of processes.
        parameter_average_interval_s: Seconds between averages of the parameters.
        parameter_average_interval_updates: The same in updates, which a clock does not
            change; takes the place of the seconds.
        data: ``shuffled_per_process``: each process sees all data in its own order.
    """

    processes: int = 1
    parameter_average_interval_s: Optional[float] = None
    parameter_average_interval_updates: Optional[int] = None
    data: Optional[str] = None


@dataclass(frozen=True)
class Concatenation:
    """Neighbouring utterances joined to one training sequence.

    Attributes:
        probability: That an utterance is joined with those behind it.
        sequences: Utterances of a joined sequence.
    """

    probability: float = 0.0
    sequences: int = 2

    def __post_init__(self):
        if not 0.0 <= self.probability <= 1.0 or self.sequences < 2:
            raise OptionError(
                f"regime_conf.concatenation: {self}",
                expected="a probability from 0 to 1 and at least 2 sequences",
            )


@dataclass(frozen=True)
class Regime:
    """All of ``regime_conf``; the values here are ESPnet's behaviour.

    Attributes:
        segment_order: ``shuffled_sorted_in_chunks``, or None for ESPnet's order.
        segments_per_chunk: Segments that are sorted by length together.
        sub_epochs_per_epoch: Parts of the data; an "epoch" of ESPnet is one of them.
        max_labels: Longer utterances are left out of training and validation.
        max_sequences: Of a batch.
        batch_schedule: See BatchSize; in rising order of the first sub-epochs.
        batch_schedule_only_training: Validation batches have the last entry's size.
        rollback: See Rollback; None never goes back.
        keep_last_checkpoints: Besides the best.
        stop_on_nonfinite_score: End the training at such a validation score.
        reset_optimizer: ``at_growth`` or ``never``.
        returnn_behavior_version: A record; up to 14 accumulation was random by a race,
            which is not imitated.
        multi_gpu: See MultiGpu; None for one process or DDP.
        concatenation: See Concatenation; None for none.
    """

    segment_order: Optional[str] = None
    segments_per_chunk: int = 6000
    sub_epochs_per_epoch: int = 1
    max_labels: Optional[int] = None
    max_sequences: Optional[int] = None
    batch_schedule: Tuple[BatchSize, ...] = ()
    batch_schedule_only_training: bool = False
    rollback: Optional[Rollback] = None
    keep_last_checkpoints: Optional[int] = None
    stop_on_nonfinite_score: bool = True
    reset_optimizer: str = "never"
    returnn_behavior_version: Optional[int] = None
    multi_gpu: Optional[MultiGpu] = None
    concatenation: Optional[Concatenation] = None

    @property
    def has_sub_epochs(self) -> bool:
        """Whether order or batches differ from ESPnet's."""
        wanted = (self.segment_order, self.max_labels, self.max_sequences)
        return (
            any(value is not None for value in (*wanted, self.concatenation))
            or self.sub_epochs_per_epoch > 1
            or bool(self.batch_schedule)
        )

    def batch_size(self, epoch: int) -> Optional[BatchSize]:
        """The entry of ``batch_schedule`` in force in a 1-based sub-epoch."""
        begun = [size for size in self.batch_schedule if size.from_epoch <= epoch]
        return begun[-1] if begun else None


def _construct(kind: type, options: Mapping[str, Any], where: str):
    names = [field.name for field in fields(kind)]
    for name in options:
        if name not in names:
            near = nearest(name, names)
            raise OptionError(
                f"{where} has no option {name!r}",
                expected=", ".join(names),
                next_step=f"did you mean {near!r}?" if near else None,
            )
    try:
        return kind(**options)
    except TypeError as error:  # an option without default is absent
        raise OptionError(f"{where}: {error}") from None


def _choice(value: Optional[str], choices: Tuple[str, ...], name: str) -> None:
    if value is not None and value not in choices:
        raise OptionError(f"regime_conf: {name} {value!r}", expected=", ".join(choices))


def parse_regime(options: Optional[Mapping[str, Any]]) -> Regime:
    """The regime of a configuration's ``regime_conf`` (None or empty: ESPnet's).

    Raises:
        OptionError: Unknown options or impossible values.
    """
    values = dict(options or {})
    for name, kind in (
        ("rollback", Rollback),
        ("multi_gpu", MultiGpu),
        ("concatenation", Concatenation),
    ):
        if values.get(name) is not None:
            values[name] = _construct(kind, values[name], f"regime_conf.{name}")
    where = "regime_conf.batch_schedule"
    schedule = tuple(
        _construct(BatchSize, entry, where)
        for entry in values.get("batch_schedule") or ()
    )
    for size in schedule:
        if min(size.from_epoch, size.max_frames, size.accum_grad) < 1:
            raise OptionError(f"{where}: {size}", expected="positive numbers")
    begins = [size.from_epoch for size in schedule]
    if schedule and (begins[0] != 1 or begins != sorted(set(begins))):
        raise OptionError(
            f"{where} begins at sub-epochs {begins}",
            expected="1 first, then rising numbers",
        )
    regime = _construct(Regime, {**values, "batch_schedule": schedule}, "regime_conf")
    _choice(regime.segment_order, SEGMENT_ORDERS, "segment_order")
    for name in ("segments_per_chunk", "sub_epochs_per_epoch", *_OPTIONAL_COUNTS):
        count = getattr(regime, name)
        if count is not None and (not isinstance(count, int) or count < 1):
            raise OptionError(
                f"regime_conf: {name} {count!r}", expected="a positive whole number"
            )
    _choice(regime.reset_optimizer, RESETS, "reset_optimizer")
    return regime
