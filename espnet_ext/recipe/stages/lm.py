"""Stages 6-8: statistics, training and perplexity of the language model."""

import math
import shutil
from pathlib import Path
from typing import Dict, List

from espnet_ext.errors import MissingInputError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe.config import settings_of
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.common import (
    TEXT_SETTINGS,
    add_vocabulary_size,
    decode_source,
    espnet_token_type,
    keys_of,
    text_of,
    token_arguments,
    write_resume_script,
)
from espnet_ext.recipe.stages.statistics import collect
from espnet_ext.recipe.stages.tokens import cut_text_file
from espnet_ext.recipe.stages.train import (
    describe_training,
    may_resume,
    set_aside,
    whole_checkpoint,
)
from espnet_ext.recipe.state import Due, Unit


def _cut(context: Context) -> bool:
    """Whether the LM reads text that the recipe cut."""
    layout = context.layout
    return layout.cuts_text and layout.lm_token_type == context.options.token_type


def train_text(context: Context) -> Path:
    """Training text of the language models, as ESPnet is to see it."""
    layout = context.layout
    if _cut(context):
        return layout.cut_text("lm_train")
    return layout.lm_train_text


def valid_text(context: Context) -> Path:
    """Validation text of the language models, as ESPnet is to see it."""
    options, layout = context.options, context.layout
    if options.lm_dev_text:
        return Path(options.lm_dev_text)
    if _cut(context):
        return text_of(context, layout.valid_set)
    return layout.dump / layout.valid_set / "text"


def lm_inputs(context: Context) -> List[Path]:
    """Texts and units of a language model."""
    layout = context.layout
    kind = layout.lm_token_type
    inputs = [train_text(context), valid_text(context), layout.token_list(kind)]
    if espnet_token_type(context, kind) == "bpe":
        inputs.append(layout.bpe_model)
    return inputs


def _shape(context: Context, role: str) -> Path:
    kind = espnet_token_type(context, context.layout.lm_token_type)
    return context.layout.lm_stats / role / f"text_shape.{kind}"


def _arguments(context: Context) -> List[str]:
    options = context.options
    given = ["--config", options.lm_config] if options.lm_config else []
    given += token_arguments(context, context.layout.lm_token_type)
    for role, text in (("train", train_text), ("valid", valid_text)):
        given += [f"--{role}_data_path_and_name_and_type"]
        given += [f"{text(context)},text,text"]
    return given


def stats_units(context: Context) -> List[Unit]:
    """Stage 6: one unit, the statistics directory."""
    layout = context.layout
    outputs = [_shape(context, role) for role in ("train", "valid")]
    settings = {"token_type": layout.lm_token_type, **context.chosen(*TEXT_SETTINGS)}
    return [
        Unit(
            stage=6,
            target=str(layout.lm_stats),
            settings=settings,
            inputs=lm_inputs(context),
            outputs=outputs,
            root=layout.exp,
            made_by=5,
        )
    ]


def stats_run(context: Context, due: Due) -> Dict[str, object]:
    """Stage 6: count tokens."""
    layout = context.layout
    logdir = layout.lm_stats / "logdir"
    shutil.rmtree(logdir, ignore_errors=True)
    keys = {
        "train": keys_of(train_text(context)),
        "valid": keys_of(valid_text(context)),
    }
    arguments = _arguments(context) + words("lm_args", context.options.lm_args)
    collect(context, "espnet2.bin.lm_train", keys, logdir, layout.lm_stats, arguments)
    facts: Dict[str, object] = {}
    for role in ("train", "valid"):
        shape = layout.lm_stats / role / "text_shape"
        tokens = layout.token_list(layout.lm_token_type)
        add_vocabulary_size(shape, tokens, _shape(context, role))
        counts = [int(line.split()[1]) for line in read_lines(shape)]
        facts[role] = f"{len(counts)} sentences, {sum(counts)} tokens"
    return facts


def train_units(context: Context) -> List[Unit]:
    """Stage 7: one unit, the language model."""
    options, layout = context.options, context.layout
    shapes = [_shape(context, role) for role in ("train", "valid")]
    return [
        Unit(
            stage=7,
            target=str(layout.lm_exp),
            settings={
                **settings_of(options.lm_config, options.lm_args),
                **context.chosen("lm_fold_length", *TEXT_SETTINGS),
            },
            inputs=lm_inputs(context) + shapes,
            outputs=[layout.lm_exp / "config.yaml", layout.lm_exp / "latest.pth"],
            root=layout.exp,
            made_by=6,
        )
    ]


def train_run(context: Context, due: Due) -> Dict[str, object]:
    """Stage 7: train, continuing a checkpoint of the same settings."""
    options, exp = context.options, context.layout.lm_exp
    ((_, decision),) = due
    has_checkpoint = whole_checkpoint(context, exp)
    if has_checkpoint and (options.force or not may_resume(decision)):
        context.log.info(f"the older model is kept in {set_aside(exp)}")
    exp.mkdir(parents=True, exist_ok=True)
    write_resume_script(context, exp, 7)
    arguments = _arguments(context)
    for role in ("train", "valid"):
        arguments += [f"--{role}_shape_file", str(_shape(context, role))]
    arguments += ["--fold_length", str(options.lm_fold_length)]
    arguments += ["--resume", "true", "--output_dir", str(exp)]
    arguments += ["--ngpu", str(options.ngpu)]
    arguments += words("lm_args", options.lm_args)
    command = context.module("espnet2.bin.lm_train", *arguments)
    log = exp / "train.log"
    context.log.info(f"training log: {log}")
    job = Job("training the language model", command, log)
    run_jobs([job], parallel=1, label="training the LM", keep_logs=True)
    return {**describe_training(log), "experiment": exp}


def perplexity_units(context: Context) -> List[Unit]:
    """Stage 8: one unit, the perplexity of a text."""
    layout = context.layout
    target = _perplexity_dir(context)
    model = layout.lm_exp / context.options.inference_lm
    return [
        Unit(
            stage=8,
            target=str(target),
            settings={},
            inputs=[_test_text(context), layout.lm_exp / "config.yaml", model],
            outputs=[target / "ppl"],
            root=layout.exp,
            made_by=7,
        )
    ]


def _test_text(context: Context) -> Path:
    options, layout = context.options, context.layout
    if options.lm_test_text:
        return Path(options.lm_test_text)
    return decode_source(context, layout.test_sets[0]) / "text"


def _perplexity_dir(context: Context) -> Path:
    return context.layout.lm_exp / f"perplexity_test_{_test_text(context).parent.name}"


def perplexity_run(context: Context, due: Due) -> Dict[str, object]:
    """Stage 8: perplexity of the test text; utterances without words are left out."""
    options, layout = context.options, context.layout
    target, source = _perplexity_dir(context), _test_text(context)
    # ESPnet cannot score a sentence without a token
    lines = [line for line in read_lines(source) if len(line.split()) > 1]
    if not lines:
        raise MissingInputError("the text has no words", where=source)
    whole, text = target / "text.whole", target / "text"
    with atomic_write(whole) as file:
        file.writelines(line + "\n" for line in lines)
    if _cut(context):
        cut_text_file(context, whole, text)
    else:
        shutil.copyfile(whole, text)
    command = context.module(
        "espnet2.bin.lm_calc_perplexity",
        *("--ngpu", "0", "--data_path_and_name_and_type", f"{text},text,text"),
        *("--train_config", layout.lm_exp / "config.yaml"),
        *("--model_file", layout.lm_exp / options.inference_lm),
        *("--output_dir", target),
    )
    log = target / "lm_calc_perplexity.log"
    run_jobs([Job("perplexity", command, log)], parallel=1, label="perplexity")
    value = float((target / "ppl").read_text(encoding="utf-8"))
    # each sentence has one end, which ESPnet counts as a token, and we as a word
    counted = read_lines(target / "utt2ntokens")
    tokens = sum(int(line.split()[1]) for line in counted)
    words_and_ends = sum(len(line.split()) for line in lines)  # the id stands for it
    by_word = per_word(value, tokens, words_and_ends)
    return {"perplexity": f"{value:.2f} a token, {by_word:.2f} a word ({source})"}


def per_word(per_token: float, tokens: int, words: int) -> float:
    """Perplexity a word from that a token: the text's log-probability is the same."""
    return math.exp(math.log(per_token) * tokens / words)
