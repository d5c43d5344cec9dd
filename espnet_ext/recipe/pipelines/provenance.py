"""``provenance.json``: what a model or an alignment was made of, stage by stage."""

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping

from espnet_ext.files import atomic_write
from espnet_ext.recipe.options import ALIGN_STAGE
from espnet_ext.recipe.phonemes import SETTINGS as LEXICON_SETTINGS
from espnet_ext.recipe.pipelines.definition import Pipeline
from espnet_ext.recipe.pipelines.plan import Planned
from espnet_ext.recipe.stages.align import SETTINGS, align_dir

FILE = "provenance.json"


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def directory(planned: Planned) -> Path:
    """The folder that a stage writes: an experiment, or the aligned sets in it."""
    context = planned.context
    return context.layout.asr_exp if planned.stage.trains else align_dir(context)


def own_settings(planned: Planned) -> Dict[str, Any]:
    """What a stage depends on, but for what it takes from other stages."""
    context, stage = planned.context, planned.stage
    taken = {
        "weights": context.options.inference_asr_model,
        **{key: getattr(stage, key) for key in ("part", "exclude", "init_weights")},
    }
    if stage.trains:
        data = context.chosen("fs", "feats_normalize", "seed", "token_type", "nbpe")
        if context.options.token_type == "phn":
            data.update(context.chosen(*LEXICON_SETTINGS))
        return {**planned.settings, **data, **taken}
    return {**context.chosen(*SETTINGS), **taken}


def chain(
    pipeline: Pipeline, planned: Mapping[str, Planned], name: str
) -> List[Dict[str, Any]]:
    """The stages that a stage rests on, in order, itself last.

    ``config_hash`` is of a stage's own settings; ``chain_hash`` also of the chains of
    the stages that it takes from, so that equal hashes mean equal histories.
    """
    entries: Dict[str, Dict[str, Any]] = {}
    for stage in pipeline.ancestors(name):
        own = _hash(own_settings(planned[stage.name]))
        parents = [entries[parent]["chain_hash"] for parent in stage.parents]
        taken = {
            "aligned with": stage.align,
            "initial weights": stage.init,
            "alignment": stage.alignment,
        }
        entries[stage.name] = {
            "pipeline": pipeline.name,
            "stage": stage.name,
            "recipe_stage": 11 if stage.trains else ALIGN_STAGE,
            "directory": str(directory(planned[stage.name])),
            "takes": {key: value for key, value in taken.items() if value},
            "config_hash": own,
            "chain_hash": _hash([own, *parents]),
        }
    return list(entries.values())


def write(pipeline: Pipeline, planned: Mapping[str, Planned], name: str) -> Path:
    """Write the chain into the folder of a finished stage."""
    path = directory(planned[name]) / FILE
    text = json.dumps(chain(pipeline, planned, name), indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as file:
            file.write(text)
    return path
