"""Stage 9: an n-gram language model of the tokens, and its perplexity."""

import json
from pathlib import Path
from typing import Dict, List

from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.common import TEXT_SETTINGS, token_arguments
from espnet_ext.recipe.stages.lm import lm_inputs, train_text, valid_text
from espnet_ext.recipe.state import Due, Unit


def _model(context: Context) -> Path:
    return context.layout.ngram_exp / f"{context.options.ngram_num}gram.arpa"


def units(context: Context) -> List[Unit]:
    """One unit, the ARPA file."""
    layout, model = context.layout, _model(context)
    settings = {"token_type": layout.lm_token_type, **context.chosen(*TEXT_SETTINGS)}
    return [
        Unit(
            stage=9,
            target=str(model),
            settings={**settings, **context.chosen("ngram_num")},
            inputs=lm_inputs(context),
            outputs=[model, model.with_suffix(".json")],
            root=layout.exp,
            made_by=5,
        )
    ]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Estimate the model; show its size and the perplexity of the validation text."""
    model, dev = _model(context), valid_text(context)
    command = context.module(
        "espnet_ext.lm.train_ngram",
        *("--train_text", train_text(context), "--dev_text", dev),
        *("--order", context.options.ngram_num, "--output", model),
        *token_arguments(context, context.layout.lm_token_type),
    )
    log = model.with_suffix(".log")
    run_jobs([Job("n-gram model", command, log)], parallel=1, label="n-gram model")
    facts = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    shown: Dict[str, object] = {
        "text": f"{facts['sentences']} sentences, {facts['tokens']} tokens",
        "n-grams": " ".join(str(count) for count in facts["ngrams"]),
        "perplexity": f"{facts['dev_perplexity']:.2f} a token, "
        f"{facts['dev_perplexity_word']:.2f} a word ({dev}; "
        f"{facts['dev_unknown']} of {facts['dev_tokens']} tokens unknown)",
    }
    if facts["fallback_orders"]:
        orders = " ".join(str(order) for order in facts["fallback_orders"])
        shown["discounts"] = f"fixed for order {orders}: too few counts to estimate"
    shown["model"] = model
    shown["log"] = log
    return shown
