"""``--pipeline NAME``: the recipe's stages, once or for each stage of the pipeline.

Stages 1-10 run once. Stage 11 stands for all trainings and alignments, each with a
record of its own, so that what is unchanged is skipped and what was interrupted goes
on. Stages 12-14 are about the last model, or with ``--pipeline_score each`` (12, 13)
about every one.
"""

import time
from typing import Callable, List, Sequence

from espnet_ext.errors import OptionError
from espnet_ext.files import disk_full_is_a_user_error
from espnet_ext.names import nearest
from espnet_ext.recipe import config, parse
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.databases import with_owned_tests
from espnet_ext.recipe.log import StageLog, seconds
from espnet_ext.recipe.options import ALIGN_STAGE, LAST_STAGE, RecipeOptions
from espnet_ext.recipe.pipelines import provenance
from espnet_ext.recipe.pipelines.definition import Pipeline
from espnet_ext.recipe.pipelines.plan import Planned, make_plan
from espnet_ext.recipe.pipelines.reading import load_pipeline

LAST_PREPARATION, TRAIN_STAGE = 10, 11
SCORING, PACKING = (12, 13), (14,)
RunStage = Callable[[Context, int, str], bool]


def run_pipeline(options: RecipeOptions, run_stage: RunStage) -> int:
    """Run what the options select and what is not finished yet.

    Args:
        options: Of run.sh, with ``pipeline``.
        run_stage: Runs one stage of the recipe if anything of it is due; the text
            tells its records apart from those of the pipeline's other stages.
    """
    log = StageLog(None, "pipeline")
    options = with_owned_tests(options, log.info)
    pipeline = load_pipeline(options.pipeline, options.pipeline_repeat)
    chosen = chosen_stages(options, pipeline)
    numbers = selected_numbers(options)
    plan = make_plan(options, pipeline, numbers)
    for planned in plan:
        config.check_all(planned.context.options, numbers)
    start = time.monotonic()
    for number in (n for n in numbers if n <= LAST_PREPARATION):
        with disk_full_is_a_user_error(f"stage {number}"):
            run_stage(plan[0].context, number, "")
    by_name = {planned.stage.name: planned for planned in plan}
    active = [planned for planned in plan if planned.stage.name in chosen]
    last = [planned for planned in plan if planned.stage.trains][-1]
    for position, planned in enumerate(active, 1):
        name = planned.stage.name
        due = numbers_of(planned, options, numbers, is_last=planned is last)
        if due:
            log.info(f"{pipeline.name} {position}/{len(active)}: {name}")
        for number in due:
            with disk_full_is_a_user_error(f"stage {number} of {name}"):
                run_stage(planned.context, number, f"{pipeline.name} {name}")
            if number in (TRAIN_STAGE, ALIGN_STAGE):
                provenance.write(pipeline, by_name, name)
    log.info(f"Finished {pipeline.name} in {seconds(time.monotonic() - start)}.")
    return 0


def chosen_stages(options: RecipeOptions, pipeline: Pipeline) -> List[str]:
    """Names of ``--pipeline_stages``, or all.

    Raises:
        OptionError: The pipeline has no such stage.
    """
    names = [stage.name for stage in pipeline.stages]
    chosen = options.pipeline_stages.replace(",", " ").split()
    for name in chosen:
        if name not in names:
            near = nearest(name, names)
            raise OptionError(
                f"{pipeline.name} has no stage {name!r}",
                where="--pipeline_stages",
                expected=f"of {', '.join(names)}",
                next_step=f"did you mean {near}?" if near else None,
            )
    return chosen or names


def selected_numbers(options: RecipeOptions) -> List[int]:
    """Stages of the recipe that the options select; 11 brings the alignments along."""
    if options.stage == ALIGN_STAGE:
        return [ALIGN_STAGE]
    skipped = parse.skipped_stages(options)
    last = min(options.stop_stage, LAST_STAGE)
    numbers = [n for n in range(options.stage, last + 1) if n not in skipped]
    return numbers + [ALIGN_STAGE] * (TRAIN_STAGE in numbers)


def numbers_of(
    planned: Planned, options: RecipeOptions, numbers: Sequence[int], is_last: bool
) -> List[int]:
    """Stages of the recipe that run for one stage of the pipeline."""
    if not planned.stage.trains:
        wanted = [ALIGN_STAGE]
    else:
        scored = is_last or options.pipeline_score == "each"
        wanted = [TRAIN_STAGE, *(SCORING if scored else ())]
        wanted += PACKING if is_last else ()
    return [number for number in wanted if number in numbers]
