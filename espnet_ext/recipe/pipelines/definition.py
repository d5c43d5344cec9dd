"""What a pipeline is: its stages in order, and what each takes from earlier ones."""

import dataclasses
from pathlib import Path
from typing import Any, List, Mapping, Sequence, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

LAST, GIVEN = "last", "given"


@dataclasses.dataclass(frozen=True)
class PipelineStage:
    """One training or one alignment.

    Attributes:
        name: Unique in its pipeline.
        where: File and line, for messages.
        config: Training configuration or experiment; empty: that of run.sh's options.
        changes: At most ten values over it.
        alignment: Stage whose alignments are trained on; ``given``: those of
            ``--alignment_dir``.
        init: Stage whose weights training starts from.
        part: Only this part of them, for example ``encoder``.
        exclude: Parts that are not taken over, separated by commas.
        init_weights: File of these weights; empty: the best ones.
        align: Stage whose model aligns; empty: this stage trains.
        weights: File of the weights that decode or align; empty: the best ones.
        inference_config: Decoding configuration; empty: that of the options.
        method, output, topology, dtype, prior_scale: As ``--align_method`` and so on.
    """

    name: str
    where: str
    config: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    alignment: str = ""
    init: str = ""
    part: str = ""
    exclude: str = ""
    init_weights: str = ""
    align: str = ""
    weights: str = ""
    inference_config: str = ""
    method: str = ""
    output: str = ""
    topology: str = ""
    dtype: str = ""
    prior_scale: float = 0.0

    @property
    def trains(self) -> bool:
        """Whether it makes a model; else it makes alignments."""
        return not self.align

    @property
    def parents(self) -> Tuple[str, ...]:
        """Stages that it takes something from."""
        named = (self.align, self.init, self.alignment)
        return tuple(name for name in named if name and name != GIVEN)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Stages in the order in which they run, references resolved."""

    name: str
    stages: Tuple[PipelineStage, ...]

    def stage(self, name: str) -> PipelineStage:
        """One stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def ancestors(self, name: str) -> List[PipelineStage]:
        """All stages that a stage depends on, in order, itself last."""
        needed = {name}
        for stage in reversed(self.stages):
            if stage.name in needed:
                needed.update(stage.parents)
        return [stage for stage in self.stages if stage.name in needed]


def expand(
    stages: Mapping[str, PipelineStage],
    loop: Mapping[str, Any],
    repeat: int,
    path: Path,
) -> List[PipelineStage]:
    """The stages with those of the loop as often as it runs, renamed ``<name>_<n>``.

    Raises:
        OptionError: It is to run ``repeat`` times and there is none.
    """
    if not loop:
        if repeat:
            raise OptionError(
                "this pipeline has no loop", where=f"--pipeline_repeat: {path}"
            )
        return list(stages.values())
    inside = [name for name in loop["stages"] if name in stages]
    made = [stage for name, stage in stages.items() if name not in inside]
    for number in range(1, (repeat or loop["times"]) + 1):
        for name in inside:
            stage = stages[name]
            renamed = {
                key: f"{getattr(stage, key)}_{number}"
                for key in ("align", "init", "alignment")
                if getattr(stage, key) in inside
            }
            made.append(dataclasses.replace(stage, name=f"{name}_{number}", **renamed))
    return made


def linked(stage: PipelineStage, before: Sequence[PipelineStage]) -> PipelineStage:
    """A stage with ``last`` replaced by names, and its references checked.

    Raises:
        OptionError: A reference to a stage that is not among those before it, or makes
            something else.
    """
    found = {}
    for key, trains in (("align", True), ("init", True), ("alignment", False)):
        name = getattr(stage, key)
        if not name or (key == "alignment" and name == GIVEN):
            continue
        fitting = [other.name for other in before if other.trains == trains]
        what = "trains a model" if trains else "makes alignments"
        if name == LAST and fitting:
            found[key] = fitting[-1]
        elif name not in fitting:
            near = nearest(name, fitting)
            raise OptionError(
                f"stage {stage.name}: {key} is {name!r}, but no earlier stage of this "
                f"name {what}",
                where=stage.where,
                expected=f"one of {', '.join(fitting)}" if fitting else None,
                next_step=(
                    f"did you mean {near!r}?"
                    if near
                    else None if fitting else f"put a stage that {what} before it"
                ),
            )
    for key in ("part", "exclude", "init_weights"):
        if getattr(stage, key) and not stage.init:
            raise OptionError(
                f"stage {stage.name}: {key} without init", where=stage.where
            )
    return dataclasses.replace(stage, **found)
