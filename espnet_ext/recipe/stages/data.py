"""Stage 1: make the corpora that can be made, then local/data.sh; or your own sets."""

import os
import re
from pathlib import Path
from typing import Dict, List

from espnet_ext.corpus.kaldi_dir import combine_data_dirs, read_data_dir
from espnet_ext.errors import MissingInputError
from espnet_ext.recipe import own_data
from espnet_ext.recipe.config import flatten
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, cores, run_jobs
from espnet_ext.recipe.layout import COMBINED
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.state import Due, Unit

DOWNLOADS = Path("downloads")
SCRIPT = Path("local/data.sh")
DATABASES = Path("db.sh")
ROOT_NAME = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)
SET_FILES = ("wav.scp", "text", "utt2spk", "spk2utt")


def units(context: Context) -> List[Unit]:
    """One unit: all sets in data/ (with --datadir one a set)."""
    if context.options.datadir:
        return own_data.units(context)
    options, layout = context.options, context.layout
    names = [layout.unperturbed_train_set, layout.valid_set, *layout.test_sets]
    sets = [layout.data / name for name in dict.fromkeys(names)]
    # upstream keeps the roots of the corpora here; ours reads the same file
    inputs = [path for path in (SCRIPT, DATABASES) if path.exists()]
    return [
        Unit(
            stage=1,
            target=str(layout.data),
            settings={
                **context.chosen("corpus", "local_data_opts"),
                "sets": " ".join(names),
                **corpus_settings(options.corpus, options.size),
            },
            inputs=inputs,
            outputs=[folder / file for folder in sets for file in SET_FILES],
            root=layout.data,
        )
    ]


def corpus_settings(corpus: str, size: str) -> Dict[str, object]:
    """What decides the content of the corpora besides files."""
    settings: Dict[str, object] = {}
    if "embedded" in corpus.split("+"):
        from espnet_ext.corpus.embedded.settings import Settings

        settings.update(flatten({"embedded": Settings(size).stamp()}))
    elif corpus in ("", "ldc") and DATABASES.exists():
        # db.sh lets the environment name the folders
        for name in ROOT_NAME.findall(DATABASES.read_text(encoding="utf-8")):
            settings[name] = os.environ.get(name, "")
    return settings


def run(context: Context, due: Due) -> Dict[str, object]:
    """Build the corpora that can be built, run local/data.sh, combine sets."""
    if context.options.datadir:
        return own_data.run(context, due)
    options, layout = context.options, context.layout
    if options.corpus != "prompts":
        require_script()
    for kind in ("embedded", "prompts"):
        if kind in options.corpus.split("+"):
            build_corpus(context, kind)
    if options.corpus != "prompts":  # those come as data directories
        prepare(context)
    for name in (layout.unperturbed_train_set, layout.valid_set):
        if name in COMBINED:
            sources = [layout.data / source for source in COMBINED[name]]
            combine_data_dirs(layout.data / name, sources)
    names = [layout.unperturbed_train_set, layout.valid_set, *layout.test_sets]
    for name in names:
        require_set(layout.data / name)
    return {name: describe(layout.data / name) for name in dict.fromkeys(names)}


def require_set(path: Path) -> None:
    """Raise a MissingInputError that lists what there is, if a set was not made."""
    if path.is_dir():
        return
    there = sorted(file.parent.name for file in path.parent.glob("*/wav.scp"))
    raise MissingInputError(
        f"local/data.sh has not made the set {path.name}",
        where=path.parent,
        expected=f"one of {', '.join(there)}" if there else "a set of a release",
        next_step="name sets that exist (--train_set, --valid_set, --test_sets), or "
        "the release it is made from in db.sh; local/data.sh --check says more",
    )


def build_corpus(context: Context, kind: str) -> None:
    """Make a corpus under downloads/; the builder itself notices a finished one."""
    arguments = ["data", kind, "--root", str(DOWNLOADS / kind)]
    if kind == "embedded":
        jobs = min(context.options.nj, cores())
        arguments += ["--size", context.options.size, "--nj", str(jobs)]
    else:
        arguments += ["--data_dir", str(context.layout.data)]
    _run(context, f"{kind} corpus", context.module("espnet_ext", *arguments))


def require_script() -> None:
    """Look for local/data.sh before minutes are spent on a corpus.

    Raises:
        MissingInputError: The script does not exist.
    """
    if not SCRIPT.exists():
        raise MissingInputError(
            "script not found",
            where=SCRIPT,
            expected="the recipe directory as the working directory",
            next_step="start run.sh in egs2/swbd_repro",
        )


def prepare(context: Context) -> None:
    """Run local/data.sh, as asr.sh does."""
    options = context.options
    command = ["bash", str(SCRIPT)]
    if "embedded" in options.corpus.split("+"):
        command += ["--corpus_root", str(DOWNLOADS / "embedded")]
    command += words("local_data_opts", options.local_data_opts)
    _run(context, "data preparation", command)


def _run(context: Context, name: str, command: List[str]) -> None:
    log = context.layout.exp / "log" / f"stage_01_{name.replace(' ', '_')}.log"
    context.log.info(f"{name}: log {log}")
    job = Job(name, command, log, {"python": context.python})
    run_jobs([job], parallel=1, label=name)


def describe(path: Path) -> str:
    """Utterances, speakers, words and hours of a data directory."""
    utterances = read_data_dir(path)
    speakers = len({u.speaker_id for u in utterances})
    count = sum(len(u.text.split()) for u in utterances)
    timed = [u.end_s - u.start_s for u in utterances if u.end_s is not None]
    length = f", {hours(sum(timed))}" if timed else ""
    return (
        f"{len(utterances)} utterances, {speakers} speakers, {count} words{length} "
        f"({path})"
    )
