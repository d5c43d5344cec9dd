"""Stage ``align``: alignments of data sets with the trained model, in parallel jobs.

Not one of asr.sh's stages: it runs where ``--stage align`` names it. Complete shards of
an interrupted run with the same settings are kept.
"""

import shutil
from pathlib import Path
from typing import Dict, List

from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, cores, run_jobs
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.options import ALIGN_STAGE
from espnet_ext.recipe.stages.common import keys_of, text_of, write_keys
from espnet_ext.recipe.stages.decode import model_files
from espnet_ext.recipe.stages.filter import dumped_text, read_samples
from espnet_ext.recipe.stages.format import STAMP_FILE, dumped_dir, speech_source
from espnet_ext.recipe.stages.tokens import cut_text_file
from espnet_ext.recipe.state import Due, Unit

COMMAND = "espnet_ext.bin.align"
FILE, FAILED, SHARDS, PRIOR = "alignment.npz", "failed", "shards", "prior.npz"
SETTINGS = (
    *("align_method", "align_output", "align_topology", "align_prior_scale"),
    "align_dtype",
)
FLOAT32 = "float32"


def align_name(context: Context) -> str:
    """Name of the folder of alignments: what was aligned with, and how."""
    options = context.options
    parts = ["align", options.align_method, options.align_output.replace(":", "")]
    parts += [options.align_topology] if options.align_topology else []
    if options.align_prior_scale:
        parts.append(f"prior{options.align_prior_scale:g}")
    parts += [options.align_dtype] if options.align_dtype != FLOAT32 else []
    return "_".join([*parts, Path(options.inference_asr_model).stem])


def align_dir(context: Context) -> Path:
    """Folder of the aligned sets."""
    return context.layout.asr_exp / align_name(context)


def aligned_sets(context: Context) -> List[str]:
    """``--align_sets``, or the training and the validation set."""
    named = context.options.align_sets.split()
    return named or [context.layout.train_set, context.layout.valid_set]


def units(context: Context) -> List[Unit]:
    """One unit a set."""
    layout = context.layout
    config, model, _ = model_files(context)
    made = []
    for name in aligned_sets(context):
        source = _source(layout, name)
        speech, _ = speech_source(context, source)
        target = align_dir(context) / name
        made.append(
            Unit(
                stage=ALIGN_STAGE,
                target=str(target),
                settings=context.chosen(*SETTINGS, "align_formats"),
                inputs=[config, model, speech, source / STAMP_FILE, source / "text"],
                outputs=[target / FILE, target / FAILED],
                root=layout.exp,
                made_by=11,
                kind=name,
            )
        )
    return made


def _source(layout: Layout, name: str) -> Path:
    """Filtered training sets lie elsewhere than the other dumped sets."""
    if name in (layout.train_set, layout.valid_set):
        return layout.dump / name
    return dumped_dir(layout, name)


def run(context: Context, due: Due) -> Dict[str, object]:
    """Align the sets that are due, one after the other."""
    prior = _prior(context) if context.options.align_prior_scale else None
    facts: Dict[str, object] = {}
    for unit, decision in due:
        target = Path(unit.target)
        if not decision.resume:
            shutil.rmtree(target / SHARDS, ignore_errors=True)
        facts[target.name] = _align_set(context, target, prior)
    return facts


def _arguments(context: Context, name: str) -> List[object]:
    """Model and data of the verbs run and prior."""
    options = context.options
    config, model, _ = model_files(context)
    source = _source(context.layout, name)
    speech, kind = speech_source(context, source)
    text = source / "text"
    if name in (context.layout.train_set, context.layout.valid_set):
        text = text_of(context, name)
    elif context.layout.cuts_text:
        text = align_dir(context) / name / "text"
        cut_text_file(context, source / "text", text)
    return [
        *("--asr_train_config", config, "--asr_model_file", model),
        *("--output", options.align_output),
        *("--data_path_and_name_and_type", f"{speech},speech,{kind}"),
        *("--data_path_and_name_and_type", f"{text},text,text"),
    ]


def _prior(context: Context) -> Path:
    """Average of the CTC output over the training set; made once for each model."""
    options, folder = context.options, context.layout.asr_exp
    output = options.align_output.replace(":", "")
    model = Path(options.inference_asr_model).stem
    path = folder / "priors" / f"{output}_{model}" / PRIOR
    weights = folder / options.inference_asr_model
    if path.exists() and path.stat().st_mtime_ns > weights.stat().st_mtime_ns:
        return path
    arguments = _arguments(context, context.layout.train_set)
    command = context.module(COMMAND, "prior", *arguments, "--file", path)
    job = Job("prior", command, path.with_suffix(".log"))
    run_jobs([job], parallel=1, label="prior")
    return path


def _align_set(context: Context, target: Path, prior) -> str:
    options = context.options
    samples = read_samples(_source(context.layout, target.name))
    text = dumped_text(context.layout, target.name)
    if target.name not in (context.layout.train_set, context.layout.valid_set):
        text = _source(context.layout, target.name) / "text"
    # sorted by length and dealt out: all jobs get the same amount, and even batches
    ordered = sorted(keys_of(text), key=lambda key: (-samples[key], key))
    if not ordered:
        raise OptionError("there is no utterance to align", where=text)
    count = min(options.inference_nj, cores(), len(ordered))
    arguments = _arguments(context, target.name)
    shards, jobs = [], []
    for number in range(1, count + 1):
        shard = target / SHARDS / str(number)
        shards.append(shard)
        keys, key_file = ordered[number - 1 :: count], shard / "keys"
        same = key_file.exists() and keys_of(key_file) == keys
        if same and (shard / FILE).exists():
            continue  # finished before an interruption
        write_keys(key_file, keys)
        given = ["--key_file", key_file, "--output_dir", shard]
        given += ["--method", options.align_method, "--dtype", options.align_dtype]
        if options.align_topology:
            given += ["--topology", options.align_topology]
        if prior is not None:
            given += ["--prior", prior, "--prior_scale", options.align_prior_scale]
        given += ["--device", "cuda" if options.gpu_inference else "cpu"]
        command = context.module(COMMAND, "run", *arguments, *given)
        jobs.append(Job(f"align {number}", command, shard / "log", weight=len(keys)))
    run_jobs(jobs, parallel=1 if options.gpu_inference else count, label="aligning")
    return _merge(context, target, shards, text)


def _merge(context: Context, target: Path, shards: List[Path], text: Path) -> str:
    """One file of all shards, the other formats, and the list of failures."""
    arguments = ["export", *shards, "--output_dir", target, "--text", text]
    arguments += ["--formats", context.options.align_formats, "--merge"]
    job = Job("export", context.module(COMMAND, *arguments), target / "export.log")
    run_jobs([job], parallel=1, label="merging")
    failed = read_lines(target / FAILED)
    count = len(keys_of(text))
    named = f": {', '.join(line.split()[0] for line in failed[:3])}" if failed else ""
    note = f"{len(failed)} failed{named} ({target / FAILED})" if failed else "all"
    return f"{count - len(failed)} of {count} utterances aligned, {note} ({target})"
