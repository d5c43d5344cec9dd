"""Stage 11: training, resumed where it was left."""

import re
import shutil
import time
import zipfile
from pathlib import Path
from typing import Dict, List, Optional

from espnet_ext.errors import MissingInputError
from espnet_ext.files import atomic_write
from espnet_ext.recipe.config import settings_of
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages import alignments
from espnet_ext.recipe.stages.common import (
    ASR_TRAIN,
    TEXT_SETTINGS,
    data_arguments,
    espnet_token_type,
    frontend_arguments,
    speech_files,
    token_arguments,
    write_resume_script,
)
from espnet_ext.recipe.stages.statistics import text_shape
from espnet_ext.recipe.state import Decision, Due, Unit
from espnet_ext.train.checksum import NEWEST, PREVIOUS, damage

SAVING_S = 30.0  # a training that is asked to stop saves first
# a finished or interrupted training may go on after a change of these alone
RESUMABLE = frozenset(
    """max_epoch patience keep_nbest_models nbest_averaging_interval log_interval
    num_workers num_att_plot devtrain best_model_criterion early_stopping_criterion
    use_tensorboard use_matplotlib use_wandb valid_batch_size valid_batch_bins
    log_level""".split()
)


def units(context: Context) -> List[Unit]:
    """One unit: the experiment."""
    options, layout = context.options, context.layout
    inputs = [layout.token_list(options.token_type)]
    if espnet_token_type(context, options.token_type) == "bpe":
        inputs.append(layout.bpe_model)
    for role, name in (("train", layout.train_set), ("valid", layout.valid_set)):
        inputs += speech_files(context, name)
        inputs += [layout.asr_stats / role / "speech_shape", text_shape(context, role)]
    inputs += [Path(file) for file in stats_file(context)]
    inputs += alignments.files(context) + initial_weights(context)
    return [
        Unit(
            stage=11,
            target=str(layout.asr_exp),
            settings={
                **settings_of(options.asr_config, options.asr_args),
                **context.chosen("fs", "feats_normalize", "seed", *TEXT_SETTINGS),
                **context.chosen("pretrained_model", "ignore_init_mismatch"),
                **context.chosen("alignment_dir"),
                **context.chosen("asr_speech_fold_length", "asr_text_fold_length"),
            },
            inputs=inputs,
            outputs=[layout.asr_exp / "config.yaml", layout.asr_exp / "latest.pth"],
            root=layout.exp,
            made_by=10,
        )
    ]


def initial_weights(context: Context) -> List[Path]:
    """The file of ``--pretrained_model``, whose change is another training.

    Raises:
        MissingInputError: It does not exist.
    """
    name = context.options.pretrained_model.partition(":")[0]
    if not name:
        return []
    if not Path(name).is_file():
        raise MissingInputError(
            "there are no such weights",
            where=f"--pretrained_model {context.options.pretrained_model}",
        )
    return [Path(name)]


def stats_file(context: Context) -> List[str]:
    """The file of mean and variance, if it is used."""
    file = context.layout.normalisation_file
    return [] if file is None else [str(file)]


def normalize_arguments(context: Context) -> List[str]:
    """--normalize is added here: in the YAML it would already act on stage 10."""
    kind = context.options.feats_normalize
    if kind == "uttmvn":
        kind = "utterance_mvn"
    arguments = ["--normalize", kind]
    for file in stats_file(context):
        arguments += ["--normalize_conf", f"stats_file={file}"]
    return arguments


def may_resume(decision: Decision) -> bool:
    """Whether an older checkpoint still fits: only settings of no weight changed."""
    if decision.inputs_changed:
        return False
    return all(name.partition(".")[0] in RESUMABLE for name in decision.changed)


def whole_checkpoint(context: Context, exp: Path) -> bool:
    """Whether ESPnet's trainer can continue; a damaged checkpoint is set aside."""
    checkpoint = exp / "checkpoint.pth"
    if not checkpoint.exists():
        return False
    if zipfile.is_zipfile(checkpoint):  # it ends as it should
        return True
    broken = checkpoint.replace(exp / "checkpoint.pth.damaged")
    context.log.info(
        f"{broken}: written only in part (full disk or crash); training starts again"
    )
    return False


def continuable(context: Context, exp: Path) -> bool:
    """Whether a training of ours can continue: one of its two checkpoints is whole.

    If there are only damaged ones, they are set aside and training starts again.
    """
    wrong = {}
    for name in (NEWEST, PREVIOUS):
        path = exp / name
        if path.exists():
            problem = damage(path)
            if problem is None:
                return True
            wrong[path] = problem
    for path, problem in wrong.items():
        broken = path.replace(path.with_name(f"{path.name}.damaged"))
        context.log.info(f"{broken}: {problem}; training starts again")
    return False


def set_aside(folder: Path) -> Path:
    """Rename an experiment that the changed settings do not continue."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    target = folder.with_name(f"{folder.name}.until_{stamp}")
    folder.rename(target)
    return target


def run(context: Context, due: Due) -> Dict[str, object]:
    """Train; a checkpoint of the same settings is continued."""
    options, layout = context.options, context.layout
    exp = layout.asr_exp
    ((_, decision),) = due
    has_checkpoint = continuable(context, exp)
    if has_checkpoint and (options.force or not may_resume(decision)):
        context.log.info(f"the older model is kept in {set_aside(exp)}")
    elif has_checkpoint:
        context.log.info("training continues from the last checkpoint")
    exp.mkdir(parents=True, exist_ok=True)
    write_resume_script(context, exp, 11)
    if options.exp:  # what the experiment's name said, with the origin of every value
        shutil.copyfile(options.asr_config, exp / "experiment.yaml")
    aligned = alignments.write_shapes(context)
    log = exp / "train.log"
    context.log.info(f"training log: {log}")
    command = context.module(ASR_TRAIN, *arguments(context))
    # it saves and ends by itself
    job = Job("training", command, log, grace_s=SAVING_S)
    took = run_jobs([job], parallel=1, label="training", keep_logs=True)
    facts = {**describe_training(log), **aligned}
    facts["training time"] = f"{took['training']:.0f} s"
    with atomic_write(exp / "training_seconds") as file:
        file.write(f"{took['training']:.1f}\n")
    facts["experiment"] = exp
    return facts


def arguments(context: Context) -> List[str]:
    """Options of asr_train in asr.sh's order; the user's own come last."""
    options, layout = context.options, context.layout
    given = ["--config", options.asr_config] if options.asr_config else []
    given += frontend_arguments(context) + normalize_arguments(context)
    given += token_arguments(context, options.token_type) + data_arguments(context)
    if options.token_type == "phn":  # decoding finds it in the configuration
        given += ["--lexicon", str(layout.lexicon)]
    given += alignments.arguments(context)
    for role in ("train", "valid"):
        for shape in alignments.shapes(context, role):
            given += [f"--{role}_shape_file", str(shape)]
    given += ["--resume", "true", "--output_dir", str(layout.asr_exp)]
    given += ["--fold_length", str(options.asr_speech_fold_length * 100)]
    given += ["--fold_length", str(options.asr_text_fold_length)]
    given += ["--ngpu", str(options.ngpu)]
    if options.ngpu > 1:
        given += ["--multiprocessing_distributed", "true"]
    if options.pretrained_model:
        given += ["--init_param", options.pretrained_model]
    given += ["--ignore_init_mismatch", str(options.ignore_init_mismatch).lower()]
    given += ["--seed", options.seed] if options.seed else []
    return given + words("asr_args", options.asr_args)


def describe_training(log: Path) -> Dict[str, object]:
    """Parameters and the last epoch's losses as ESPnet logs them."""
    text = log.read_text(encoding="utf-8", errors="replace")
    facts: Dict[str, object] = {}
    size = _last(r"Total Number of model parameters: *([\d.]+ *[KMG]?)", text)
    if size:
        facts["parameters"] = size
    results = r"(\d+)epoch results: \[train\](.*?)\[valid\](.*?)(?:, \[devtrain\].*)?$"
    epochs = re.findall(results, text, re.MULTILINE)
    if epochs:
        number, train, valid = epochs[-1]
        facts["epochs"] = number
        for role, values in (("train", train), ("valid", valid)):
            pairs = re.findall(r"(loss\w*|cer\w*|wer\w*)=([-\d.e+]+)", values)
            facts[f"last {role}"] = ", ".join(f"{k} {v}" for k, v in pairs)
    return facts


def _last(pattern: str, text: str) -> Optional[str]:
    found = re.findall(pattern, text)
    return found[-1].strip() if found else None
