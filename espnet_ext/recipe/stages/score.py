"""Stage 13: word error rates and reports, through espnet_ext.analysis."""

import hashlib
import shlex
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from espnet_ext.analysis.alignment_section import COMPARISON
from espnet_ext.analysis.register import LOCAL, RUNS
from espnet_ext.corpus.training_sets import MARK
from espnet_ext.recipe.config import load_yaml
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.common import given_options
from espnet_ext.recipe.stages.tokens import kept_whole
from espnet_ext.recipe.state import Due, Unit, digest

LOCAL_SCORE = Path("local/score.sh")
REFERENCES = ("text", "stm", "glm", "segments")
NOTES = {
    "embedded": "synthetic telephone-band speech: says nothing about real speech",
    "prompts": "recorded prompts of a single speaker",
    "embedded+prompts": "synthetic speech, and recorded prompts of a single speaker",
}
LDC = "ldc"
SELECTED_ON_TEST = "selected on hub5e_00: its error rate there is no measurement"


def units(context: Context) -> List[Unit]:
    """One unit: the scores of all sets."""
    layout = context.layout
    inputs = reference_files(context)
    for name in layout.decode_sets:
        inputs += [layout.decode_dir / name / kind for kind in ("text", "token")]
    # the report shows comparisons of alignments too
    inputs += sorted(layout.asr_exp.glob(f"**/{COMPARISON}"))
    return [
        Unit(
            stage=13,
            target=str(layout.decode_dir),
            settings={
                "sets": " ".join(layout.decode_sets),
                **context.chosen("scorer", "word_rules", "local_score_opts"),
                "local/score.sh": LOCAL_SCORE.exists(),
            },
            inputs=inputs,
            outputs=[layout.asr_exp / "RESULTS.md"],
            root=layout.exp,
            made_by=12,
        )
    ]


def reference_files(context: Context) -> List[Path]:
    """What the sets are scored with."""
    sets = (context.layout.data / name for name in context.layout.decode_sets)
    files = (folder / kind for folder in sets for kind in REFERENCES)
    return [file for file in files if file.exists()]


def tokenizer(context: Context) -> Optional[Callable[[str], List[str]]]:
    """Cuts a text as training does, for the token error rate of word pieces."""
    from espnet_ext.analysis.tokenizer import load_tokenizer

    model = context.layout.bpe_model
    if context.options.token_type != "bpe" or not model.exists():
        return None
    return load_tokenizer(model, kept_whole(context))


def note(context: Context) -> str:
    """What whoever reads the results must know of the data; may be empty."""
    options, layout = context.options, context.layout
    said = [] if options.datadir else [NOTES.get(options.corpus, "")]
    if (layout.data / layout.valid_set / MARK).exists():
        said.append(SELECTED_ON_TEST)
    return "; ".join(filter(None, said))


def data_hash(files: Sequence[Path]) -> str:
    """Short digest of some files."""
    text = "".join(digest(path) for path in files)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def experiment_name(context: Context) -> str:
    """What was run: the experiment's name, or that of the configuration file."""
    options = context.options
    return options.exp or Path(options.asr_config).stem or context.layout.asr_exp.name


def seed_of(exp: Path) -> str:
    """The seed that the model was trained with; unknown for a downloaded one."""
    config = exp / "config.yaml"
    return str(load_yaml(config).get("seed", "")) if config.is_file() else ""


def corpus_name(context: Context) -> str:
    """What was trained and tested on."""
    return context.options.datadir or context.options.corpus or LDC


def register(context: Context) -> Path:
    """The register that gets the results: that of LDC data is the published one."""
    folder = Path(
        context.options.results_dir or Path("conf").resolve().parent / "results"
    )
    return folder / (RUNS if corpus_name(context) == LDC else LOCAL)


def run(context: Context, due: Due) -> Dict[str, object]:
    """Score every set, write RESULTS.md and index.html, append to the register."""
    from espnet_ext.analysis.score import score_experiment

    options, layout = context.options, context.layout
    score_experiment(
        layout.asr_exp,
        layout.decode_name,
        layout.data,
        layout.decode_sets,
        scorer=options.scorer,
        word_rules=options.word_rules,
        tokenize=tokenizer(context),
        provenance={
            "command": shlex.join(["./run.sh", *given_options(options)]),
            "config": options.asr_config,
            "seed": seed_of(layout.asr_exp),
            "selection_rule": options.inference_asr_model,
            "exp": layout.asr_exp.name,
            "data_hash": data_hash(reference_files(context)),
            "experiment": experiment_name(context),
            "corpus": corpus_name(context),
        },
        note=note(context),
        register=register(context),
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
        "register": register(context),
    }
