"""Stage 10: lengths of all utterances, mean and variance of the features."""

import shutil
from pathlib import Path
from typing import Dict, List, Optional

from espnet_ext.corpus.shards import split
from espnet_ext.corpus_ids import Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe.config import settings_of
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, cores, run_jobs
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.parse import sampling_rate
from espnet_ext.recipe.stages.common import (
    ASR_TRAIN,
    TEXT_SETTINGS,
    add_vocabulary_size,
    data_arguments,
    espnet_token_type,
    frontend_arguments,
    keys_of,
    speech_files,
    token_arguments,
    write_keys,
    write_resume_script,
)
from espnet_ext.recipe.state import Due, Unit

# what of the training configuration the features depend on
FEATURE_KEYS = (
    *("frontend", "frontend_conf", "input_size"),
    *("preprocessor", "preprocessor_conf", "train_dtype"),
)


def text_shape(context: Context, role: str) -> Path:
    """The file of token counts that stage 11 forms batches by."""
    kind = espnet_token_type(context, context.options.token_type)
    return context.layout.asr_stats / role / f"text_shape.{kind}"


def units(context: Context) -> List[Unit]:
    """One unit: the statistics directory."""
    options, layout = context.options, context.layout
    token_type = options.token_type
    inputs = [layout.token_list(token_type)]
    if espnet_token_type(context, token_type) == "bpe":
        inputs.append(layout.bpe_model)
    for name in (layout.train_set, layout.valid_set):
        inputs += speech_files(context, name)
    outputs = [text_shape(context, role) for role in ("train", "valid")]
    outputs += [layout.asr_stats / "train" / "feats_stats.npz"]
    corpora: Dict[str, object] = {}
    if layout.corpora is not None:
        corpora["corpora"] = layout.corpora.text
        outputs += [layout.normalisation_file]
    return [
        Unit(
            stage=10,
            target=str(layout.asr_stats),
            settings={
                **settings_of(options.asr_config, options.asr_args, FEATURE_KEYS),
                **context.chosen("fs", *TEXT_SETTINGS),
                **corpora,
            },
            inputs=inputs,
            outputs=outputs,
            root=layout.exp,
            made_by=4,
        )
    ]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Collect in parallel, then add up."""
    options, layout = context.options, context.layout
    stats, logdir = layout.asr_stats, layout.asr_stats / "logdir"
    shutil.rmtree(logdir, ignore_errors=True)
    keys = {
        role: keys_of(speech_files(context, name)[0])
        for role, name in (("train", layout.train_set), ("valid", layout.valid_set))
    }
    write_resume_script(context, stats, 10)
    config = ["--config", options.asr_config] if options.asr_config else []
    arguments = [*config, *frontend_arguments(context), *data_arguments(context)]
    arguments += token_arguments(context, options.token_type)
    arguments += words("asr_args", options.asr_args)
    groups = {} if layout.corpora is None else layout.corpora.groups(keys["train"])
    unmixed = list(groups.values()) or None
    folders = collect(context, ASR_TRAIN, keys, logdir, stats, arguments, unmixed)
    facts: Dict[str, object] = {}
    if layout.corpora is not None:
        statistics = corpus_statistics(layout.corpora, folders)
        statistics.write(stats / "train" / "corpus_stats.npz")
        for name, count in zip(groups, statistics.count_N):
            facts[name] = f"{len(groups[name])} utterances, {int(count)} frames"
    for role in ("train", "valid"):
        add_vocabulary_size(
            stats / role / "text_shape",
            layout.token_list(options.token_type),
            text_shape(context, role),
        )
    for role in ("train", "valid"):
        facts[role] = _describe(context, stats / role)
    return facts


def corpus_statistics(corpora: Corpora, folders: List[Path]) -> CorpusStatistics:
    """Sums of each corpus from parts of the training set that no two share."""
    parts: Dict[str, List[Path]] = {name: [] for name in corpora.names}
    for folder in folders:
        first = keys_of(folder / "train" / "speech_shape")[0]
        parts[corpora.of(first)].append(folder / "train" / "feats_stats.npz")
    return CorpusStatistics.add_up(corpora, parts)


def collect(
    context: Context,
    module: str,
    keys: Dict[str, List[str]],
    logdir: Path,
    target: Path,
    arguments: List[str],
    unmixed: Optional[List[List[str]]] = None,
) -> List[Path]:
    """Run a trainer's --collect_stats over parts of the data and add the parts up.

    Args:
        module: The training module.
        keys: Utterance ids of ``train`` and ``valid``.
        logdir: Takes lists, logs and partial results.
        target: Takes the sums.
        arguments: The trainer's other options.
        unmixed: The training ids in groups, of which no part has more than one.

    Returns:
        The folders of the parts.
    """
    wanted = min(context.options.nj, cores(), *(len(ids) for ids in keys.values()))
    groups = unmixed or [keys["train"]]
    parts = {"train": split_groups(groups, max(wanted, len(groups)))}
    parts["valid"] = split(keys["valid"], len(parts["train"]))
    if len(parts["valid"]) < len(groups):
        raise OptionError(
            f"{len(keys['valid'])} validation utterances for {len(groups)} corpora",
            where=f"--valid_set {context.layout.valid_set}",
            expected="as many utterances as corpora at least",
        )
    jobs: List[Job] = []
    folders: List[Path] = []
    for number in range(1, len(parts["train"]) + 1):
        folder = logdir / f"stats.{number}"
        lists = []
        for role in ("train", "valid"):
            ids = parts[role][number - 1]
            file = write_keys(logdir / f"{role}.{number}.scp", ids)
            lists += [f"--{role}_shape_file", str(file)]
        command = context.module(
            module,
            *("--collect_stats", "true", "--ngpu", "0", "--output_dir", folder),
            *lists,
            *arguments,
        )
        log = logdir / f"stats.{number}.log"
        jobs.append(Job(f"collecting statistics {number}", command, log))
        folders.append(folder)
    run_jobs(jobs, parallel=len(jobs), label="collecting statistics")
    sums = [word for folder in folders for word in ("--input_dir", str(folder))]
    command = context.module("espnet2.bin.aggregate_stats_dirs", *sums)
    command += ["--output_dir", str(target)]
    command += ["--skip_sum_stats"] * (
        not (folders[0] / "train" / "stats_keys").exists()
    )
    log = logdir / "aggregate.log"
    run_jobs([Job("adding up statistics", command, log)], parallel=1, label="adding up")
    return folders


def split_groups(groups: List[List[str]], wanted: int) -> List[List[str]]:
    """At most ``wanted`` parts of one group each; large groups have more of them."""
    spare, total = wanted - len(groups), sum(map(len, groups))
    parts: List[List[str]] = []
    for group in groups:
        parts += split(group, 1 + spare * len(group) // max(total, 1))
    return parts


def _describe(context: Context, folder: Path) -> str:
    samples = [
        int(line.split()[1].split(",")[0])
        for line in read_lines(folder / "speech_shape")
    ]
    tokens = [
        int(line.split()[1].split(",")[0]) for line in read_lines(folder / "text_shape")
    ]
    total_s = sum(samples) / sampling_rate(context.options)
    return (
        f"{len(samples)} utterances, {hours(total_s)}, {sum(tokens)} tokens, "
        f"at most {max(tokens)} in one"
    )
