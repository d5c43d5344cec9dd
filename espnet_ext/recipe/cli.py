"""Walks through the stages: which are due, why, and what came out."""

import dataclasses
import sys
import time
from typing import List, Optional

from espnet_ext.errors import run_main
from espnet_ext.files import disk_full_is_a_user_error
from espnet_ext.recipe import config, parse, state
from espnet_ext.recipe.context import Context, with_log
from espnet_ext.recipe.databases import with_owned_tests
from espnet_ext.recipe.experiment import with_experiment
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import StageLog, seconds
from espnet_ext.recipe.options import LAST_STAGE, NAMED_STAGES, RecipeOptions
from espnet_ext.recipe.pipelines.run import run_pipeline
from espnet_ext.recipe.stages import TABLE, stage


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point of ``python -m espnet_ext.recipe`` and ``espnet-ext recipe``."""
    arguments = sys.argv[1:] if argv is None else argv
    for position, word in enumerate(arguments):
        if word in ("-h", "--help"):
            before = arguments[:position]
            return run_main(lambda: print(parse.help_screen(parse.parse(before))))
    return run_main(lambda: run_recipe(parse.parse(arguments)))


def run_recipe(options: RecipeOptions) -> int:
    """Run the stages that the options select and that are not finished yet."""
    if options.pipeline:
        return run_pipeline(options, run_stage)
    options = with_owned_tests(options, StageLog(None, "recipe").info)
    skipped = parse.skipped_stages(options)
    last = min(options.stop_stage, LAST_STAGE)
    if options.stage in NAMED_STAGES.values():
        last = options.stage
    selected = [n for n in range(options.stage, last + 1) if n not in skipped]
    options = with_experiment(options, selected)
    layout = Layout(options)
    config.check_all(options, selected)
    start = time.monotonic()
    context = Context(options, layout, StageLog(None, "recipe"))
    for number in range(options.stage, last + 1):
        if number in skipped:
            context.log.info(f"Stage {number}: left out ({skipped[number]})")
        else:
            with disk_full_is_a_user_error(f"stage {number}"):
                run_stage(context, number)
    took = seconds(time.monotonic() - start)
    context.log.info(f"Finished stages {options.stage} to {last} in {took}.")
    return 0


def run_stage(context: Context, number: int, label: str = "") -> bool:
    """Run one stage if anything of it is due.

    Args:
        context: Options, names and log.
        number: Of the stage.
        label: Tells its results apart from those of other calls with this number.

    Returns:
        Whether it ran.
    """
    this = stage(number)
    module_name = TABLE[number][0]
    units = [
        dataclasses.replace(unit, kind=f"{label} {unit.kind}".strip())
        for unit in this.units(context)
    ]
    decided = [(unit, state.decide(unit, context.options.force)) for unit in units]
    due = [(unit, decision) for unit, decision in decided if decision.run]
    if not due:
        reason = max(decision.reason for _, decision in decided)
        context.log.info(f"Stage {number}: {this.title}: skipped, {reason}")
        return False
    log_path = context.layout.exp / "log" / f"stage_{number:02d}_{module_name}.log"
    with StageLog(log_path, module_name) as log:
        log.info(f"Stage {number}: {this.title}")
        for reason in dict.fromkeys(decision.reason for _, decision in due):
            names = [unit.target for unit, decision in due if decision.reason == reason]
            which = f" ({', '.join(names)})" if len(units) > 1 else ""
            log.info(f"stage {number} {reason}{which}")
        for unit, _ in due:
            state.begin(unit)
        start = time.monotonic()
        facts = this.run(with_log(context, log), due)
        took = time.monotonic() - start
        for unit, _ in due:
            state.finish(unit, took)
        log.summary(f"Stage {number} finished in {seconds(took)}", facts)
    return True
