"""The options with which the recipe's stages run for each stage of a pipeline."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import yaml

from espnet_ext.errors import OptionError
from espnet_ext.files import atomic_write
from espnet_ext.recipe import config
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.experiment import with_experiment
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import StageLog
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.parse import check_choice
from espnet_ext.recipe.pipelines.definition import GIVEN, Pipeline, PipelineStage
from espnet_ext.recipe.stages.align import align_dir
from espnet_ext.recipe.stages.statistics import FEATURE_KEYS
from espnet_ext.recipe.state import changed_names

FRAMEWISE = ("framewise", "framewise_transducer")
CRITERION = "best_model_criterion"
# the pipeline says them for each stage
OWNED = ("asr_exp", "asr_tag", "pretrained_model", "inference_tag")
PIPELINE_OPTIONS = ("pipeline", "pipeline_stages", "pipeline_repeat", "pipeline_score")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of a pipeline and the options it runs with.

    Attributes:
        stage: As the pipeline has it.
        context: Its options, with the names derived from them.
        settings: Its training configuration, flat; of an alignment: its model's.
    """

    stage: PipelineStage
    context: Context
    settings: Mapping[str, Any]


def refuse_owned(options: RecipeOptions) -> None:
    """Refuse options that would give all stages the same directory or weights."""
    for name in OWNED:
        if getattr(options, name):
            raise OptionError(
                "cannot be used with --pipeline, whose stages have their own",
                where=f"--{name}",
                next_step="write it into the pipeline (docs/pipelines.md)",
            )


def make_plan(
    options: RecipeOptions, pipeline: Pipeline, numbers: Sequence[int]
) -> List[Planned]:
    """Options of every stage; their configurations are written below expdir.

    Args:
        options: Of run.sh.
        pipeline: What runs.
        numbers: Selected stages of the recipe: parts that are missing matter only if
            they are due.

    Raises:
        OptionError: Something in a configuration is wrong, or does not fit the others.
    """
    refuse_owned(options)
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(RecipeOptions)
        if field.name in PIPELINE_OPTIONS
    }
    options = dataclasses.replace(options, **defaults)
    planned: Dict[str, Planned] = {}
    for stage in pipeline.stages:
        if stage.trains:
            planned[stage.name] = _training(options, pipeline, stage, planned, numbers)
        else:
            planned[stage.name] = _alignment(stage, planned)
    _check_features(list(planned.values()))
    return list(planned.values())


def _training(
    options: RecipeOptions,
    pipeline: Pipeline,
    stage: PipelineStage,
    before: Mapping[str, Planned],
    numbers: Sequence[int],
) -> Planned:
    given = options.alignment_dir if stage.alignment == GIVEN else ""
    if stage.alignment == GIVEN and not given:
        raise OptionError(
            f"stage {stage.name} trains on given alignments",
            where=stage.where,
            next_step="--alignment_dir DIR with <set>/alignment.scp of both sets",
        )
    changed: Dict[str, Any] = {"alignment_dir": given}
    if stage.alignment and not given:
        changed["alignment_dir"] = str(align_dir(before[stage.alignment].context))
    if stage.init:
        changed["pretrained_model"] = _initial(stage, before[stage.init].context)
    if stage.inference_config:
        changed["inference_config"] = stage.inference_config
    if stage.config or stage.changes or stage.parents:
        overlay = _write_overlay(options, pipeline, stage)
        changed.update(asr_config=str(overlay), exp="")
    own = with_experiment(dataclasses.replace(options, **changed), numbers)
    settings = config.settings_of(own.asr_config, own.asr_args)
    weights = stage.weights or best_weights(own.asr_config) or own.inference_asr_model
    own = dataclasses.replace(own, inference_asr_model=weights)
    _check_alignment(stage, settings, pipeline)
    return Planned(stage, _context(own, stage), settings)


def _alignment(stage: PipelineStage, before: Mapping[str, Planned]) -> Planned:
    model = before[stage.align]
    options = model.context.options
    changed: Dict[str, Any] = {"align_sets": ""}
    if stage.weights:
        changed["inference_asr_model"] = stage.weights
    for key in ("method", "output", "topology", "dtype", "prior_scale"):
        value = getattr(stage, key)
        if value:
            # now, and not when a training of days is over
            check_choice(f"align_{key}", value, stage.where)
            changed[f"align_{key}"] = value
    if "kaldi" not in options.align_formats.split():  # training reads it
        changed["align_formats"] = f"kaldi {options.align_formats}".strip()
    own = dataclasses.replace(options, **changed)
    return Planned(stage, _context(own, stage), model.settings)


def _context(options: RecipeOptions, stage: PipelineStage) -> Context:
    return Context(options, Layout(options), StageLog(None, stage.name))


def _initial(stage: PipelineStage, source: Context) -> str:
    """What ``--init_param`` is given."""
    weights = stage.init_weights or source.options.inference_asr_model
    file = str(source.layout.asr_exp / weights)
    words = [file, stage.part, stage.part, stage.exclude]
    return ":".join(words).rstrip(":")


def _write_overlay(
    options: RecipeOptions, pipeline: Pipeline, stage: PipelineStage
) -> Path:
    """The stage's configuration as an overlay; its name names the experiment."""
    base = stage.config or options.exp or options.asr_config
    if not base:
        raise OptionError(
            f"stage {stage.name} has no config, and no model was named",
            where=stage.where,
            next_step="--exp NAME or --asr_config FILE",
        )
    name = f"{pipeline.name}_{stage.name}"
    path = Path(options.expdir) / "pipelines" / pipeline.name / f"{name}.yaml"
    text = yaml.safe_dump({"base": base, **stage.changes}, sort_keys=False)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as file:
            file.write(text)
    return path


def best_weights(asr_config: str) -> str:
    """File of the averaged best weights by a configuration's first criterion."""
    content = config.load_yaml(Path(asr_config)) if asr_config else {}
    criteria = content.get(CRITERION) or []
    if not criteria:
        return ""
    phase, name = criteria[0][:2]
    return f"{phase}.{name}.ave.pth"


def _check_alignment(
    stage: PipelineStage, settings: Mapping[str, Any], pipeline: Pipeline
) -> None:
    """A framewise model needs alignments, and no other model uses them."""
    framewise = settings.get("model") in FRAMEWISE
    if framewise == bool(stage.alignment):
        return
    makers = [other.name for other in pipeline.stages if not other.trains]
    if framewise:
        raise OptionError(
            f"stage {stage.name} trains model {settings['model']}, which needs an "
            "alignment, and no stage gives it one",
            where=stage.where,
            expected=f"alignment: one of {', '.join(makers)}" if makers else None,
            next_step="put a stage {align: MODEL} before it and name it as alignment",
        )
    raise OptionError(
        f"stage {stage.name} is given an alignment, which its model "
        f"{settings.get('model', 'espnet')} does not use",
        where=stage.where,
        expected=f"set: {{model: {FRAMEWISE[1]}}}, or no alignment",
    )


def _check_features(planned: Sequence[Planned]) -> None:
    """Stage 10 runs once, so all models have the same features."""
    first = planned[0]
    wanted = _features(first.settings)
    for other in planned[1:]:
        own = _features(other.settings)
        names = changed_names(wanted, own)
        if names:
            raise OptionError(
                f"stage {other.stage.name} has other features than "
                f"{first.stage.name}: {', '.join(names)}",
                where=other.stage.where,
                expected="the same, as statistics are made once for a pipeline",
            )


def _features(settings: Mapping[str, Any]) -> Dict[str, Any]:
    return {k: v for k, v in settings.items() if k.partition(".")[0] in FEATURE_KEYS}
