"""Stage 14: model, configuration, units and results in one archive."""

from pathlib import Path
from typing import Dict, List

from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.common import espnet_token_type
from espnet_ext.recipe.stages.decode import model_files
from espnet_ext.recipe.stages.score import note
from espnet_ext.recipe.stages.train import stats_file
from espnet_ext.recipe.state import Due, Unit


def units(context: Context) -> List[Unit]:
    """One unit: the archive."""
    layout = context.layout
    config, model, extra = model_files(context)
    inputs = [config, model, *extra, *map(Path, stats_file(context))]
    if context.options.token_type == "bpe":
        inputs.append(layout.bpe_model)
    if espnet_token_type(context, context.options.token_type) != "bpe":
        inputs.append(layout.token_list(context.options.token_type))
    if context.options.token_type == "phn":
        inputs.append(layout.lexicon)
    inputs += [path for path in (layout.asr_exp / "RESULTS.md",) if path.exists()]
    return [
        Unit(
            stage=14,
            target=str(layout.packed),
            settings={},
            inputs=inputs,
            outputs=[layout.packed],
            root=layout.exp,
            made_by=11,
        )
    ]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Write the archive; a half of one never has its name."""
    layout = context.layout
    ((unit, _),) = due
    config, model, extra = model_files(context)
    arguments = ["--asr_train_config", config, "--asr_model_file", model]
    if extra:
        arguments += ["--lm_train_config", extra[0], "--lm_file", extra[1]]
    for path in unit.inputs:
        if path not in (config, model, *extra):
            arguments += ["--option", path]
    images = layout.asr_exp / "images"
    arguments += ["--option", images] if images.is_dir() else []
    arguments += ["--results", layout.asr_exp / "RESULTS.md"]
    arguments += ["--data_note", data_note(context)]
    arguments += ["--outpath", layout.packed]
    command = context.module("espnet_ext.bin.pack", *arguments)
    log = layout.asr_exp / "pack.log"
    run_jobs([Job("packing", command, log)], parallel=1, label="packing")
    size = layout.packed.stat().st_size / 1e6
    return {
        "archive": f"{layout.packed} ({size:.1f} MB)",
        "to use it": f'espnet_ext.Speech2Text.from_pretrained("{layout.packed}")',
    }


def data_note(context: Context) -> str:
    """Corpus, training set and what has to be known of them, for the model card."""
    options, layout = context.options, context.layout
    corpus = options.datadir or options.corpus or "ldc (Switchboard)"
    said = f"Corpus {corpus}; trained on {layout.train_set}, checkpoint selected on "
    said += f"{layout.valid_set}. {note(context)}"
    return said.strip()
