"""Stage 13: word error rates and reports, through espnet_ext.analysis."""

from pathlib import Path
from typing import Dict, List

from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.state import Due, Unit

LOCAL_SCORE = Path("local/score.sh")
REFERENCES = ("text", "stm", "glm", "segments")
NOTES = {
    "embedded": "synthetic telephone-band speech: says nothing about real speech",
    "prompts": "recorded prompts of a single speaker",
    "embedded+prompts": "synthetic speech, and recorded prompts of a single speaker",
}


def units(context: Context) -> List[Unit]:
    """One unit: the scores of all sets."""
    layout = context.layout
    inputs = []
    for name in layout.decode_sets:
        inputs += [layout.decode_dir / name / kind for kind in ("text", "token")]
        files = (layout.data / name / kind for kind in REFERENCES)
        inputs += [file for file in files if file.exists()]
    return [
        Unit(
            stage=13,
            target=str(layout.decode_dir),
            settings={
                "sets": " ".join(layout.decode_sets),
                **context.chosen("scorer", "local_score_opts"),
                "local/score.sh": LOCAL_SCORE.exists(),
            },
            inputs=inputs,
            outputs=[layout.asr_exp / "RESULTS.md"],
            root=layout.exp,
            made_by=12,
        )
    ]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Score every set and write RESULTS.md and index.html."""
    from espnet_ext.analysis.score import score_experiment

    options, layout = context.options, context.layout
    score_experiment(
        layout.asr_exp,
        layout.decode_name,
        layout.data,
        layout.decode_sets,
        scorer=options.scorer,
        provenance={
            "config": options.asr_config,
            "seed": options.seed or "0",
            "selection_rule": options.inference_asr_model,
            "exp": layout.asr_exp.name,
        },
        note=NOTES.get(options.corpus, ""),
    )
    if LOCAL_SCORE.exists():
        command = ["bash", str(LOCAL_SCORE)]
        command += words("local_score_opts", options.local_score_opts)
        log = layout.decode_dir / "local_score.log"
        job = Job("local/score.sh", [*command, str(layout.asr_exp)], log)
        run_jobs([job], parallel=1, label="local/score.sh")
    return {
        "results": layout.asr_exp / "RESULTS.md",
        "report": layout.asr_exp / "index.html",
    }
