"""Reads ``--option value`` into RecipeOptions; refuses what the recipe cannot do."""

import dataclasses
from typing import Any, Dict, List, Sequence, Set

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest
from espnet_ext.recipe.options import LAST_STAGE, NAMED_STAGES, RecipeOptions

FIELDS = {field.name: field for field in dataclasses.fields(RecipeOptions)}
SEE_HELP = "./run.sh --help lists all options"

# option -> (the only value, why)
ONLY = {
    "feats_type": ("raw", "features are computed inside the model; no Kaldi is used"),
    "g2p": ("none", "phonemes are those of a lexicon (--token_type phn --lexicon)"),
    "asr_task": ("asr", "espnet2/asr_transducer has no place for our encoders"),
    "num_splits_asr": (1, "the data is read from where it lies"),
    "num_splits_lm": (1, "the text is read from where it lies"),
    "num_nodes": (1, "start stage 11 of several machines with torchrun instead"),
    "score_opts": ("", "sclite gets the options of the hub5 rules (stage 13)"),
    "skip_upload_hf": (True, "stage 15 (upload) is not part of this recipe"),
}
REPLACES = {"exp": ("asr_config", "inference_config"), "asr_config": ("exp",)}


def parse(argv: Sequence[str]) -> RecipeOptions:
    """Options from the command line; a later one overrides an earlier one.

    Raises:
        OptionError: An unknown or repeated-without-value option, a positional argument,
            a value of the wrong type, or one that this recipe does not support.
    """
    given: Dict[str, Any] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise OptionError(
                f"unexpected argument {word!r}",
                expected="--option value",
                next_step=f"quote a value that has blanks in it; {SEE_HELP}",
            )
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in FIELDS:
            close = nearest(name, FIELDS)
            raise OptionError(
                f"unknown option --{name}",
                next_step=f"did you mean --{close}? {SEE_HELP}" if close else SEE_HELP,
            )
        if not equals:
            if not rest:
                raise OptionError(f"option --{name} needs a value", next_step=SEE_HELP)
            value = rest.pop(0)
        # of an experiment's name and files that say the same the later one counts
        for other in REPLACES.get(name, ()):
            given.pop(other, None)
        given[name] = _convert(name, value)
    options = RecipeOptions(**given)
    check(options)
    return options


def _convert(name: str, value: str) -> Any:
    kind = FIELDS[name].type
    if name == "stage" and value in NAMED_STAGES:
        return NAMED_STAGES[value]
    check_choice(name, value, f"--{name}")
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise OptionError(f"{value!r} is neither true nor false", where=f"--{name}")
        return value.lower() == "true"
    try:
        return kind(value)
    except ValueError:
        raise OptionError(
            f"{value!r} is not a number",
            where=f"--{name}",
            expected={int: "a whole number", float: "a number"}[kind],
        ) from None


def check_choice(name: str, value: Any, where: object) -> None:
    """Refuse a value that is none of an option's choices, wherever it was given.

    Raises:
        OptionError: It is none of them.
    """
    choices = FIELDS[name].metadata["choices"]
    if choices and value not in choices:
        close = nearest(value, choices)
        raise OptionError(
            f"{value!r} is not a value of --{name}",
            where=where,
            expected=f"one of {', '.join(choices)}",
            next_step=f"did you mean {close}?" if close else SEE_HELP,
        )


def check(options: RecipeOptions) -> None:
    """Refuse values that asr.sh knows and this recipe does not support, with reason."""
    for name, (only, reason) in ONLY.items():
        value = getattr(options, name)
        if value != only:
            raise OptionError(
                f"{_shown(value)} is not supported: {reason}",
                where=f"--{name}",
                expected=_shown(only),
            )
    for name in ("stage", "stop_stage"):
        if getattr(options, name) < 1:
            raise OptionError("stages count from 1", where=f"--{name}")
    if options.stage > LAST_STAGE and options.stage not in NAMED_STAGES.values():
        _refuse_stage(options.stage, "--stage")
    if options.stage > options.stop_stage:
        raise OptionError(
            f"--stage {options.stage} lies after --stop_stage {options.stop_stage}",
            expected="stage at most stop_stage",
        )
    for name in ("nj", "inference_nj", "nbpe", "ngram_num", "batch_size"):
        if getattr(options, name) < 1:
            raise OptionError("must be at least 1", where=f"--{name}")
    _check_phonemes(options)
    if options.pipeline_repeat < 0:
        raise OptionError("must be at least 0", where="--pipeline_repeat")
    for name in ("pipeline_stages", "pipeline_repeat"):
        if getattr(options, name) and not options.pipeline:
            raise OptionError("needs --pipeline NAME", where=f"--{name}")
    if options.ngpu < 0:
        raise OptionError("must be at least 0", where="--ngpu")
    if options.seed and not options.seed.isdigit():
        raise OptionError(f"{options.seed!r} is not a whole number", where="--seed")
    if options.datadir:  # it may hold any number of sets
        used_alone = options.skip_train or options.download_model
        needed = ("train_set", "valid_set", "test_sets")[2 if used_alone else 0 :]
        for name in needed:
            if not getattr(options, name).strip():
                raise OptionError(
                    f"--datadir needs --{name}",
                    where=f"--datadir {options.datadir}",
                    expected='--train_set X --valid_set Y --test_sets "Z"',
                )
    sampling_rate(options)
    skipped_stages(options)


def _check_phonemes(options: RecipeOptions) -> None:
    if options.token_type != "phn":
        if options.lexicon:
            raise OptionError(
                f"is for phonemes, but the units are {options.token_type}",
                where=f"--lexicon {options.lexicon}",
                next_step="--token_type phn",
            )
    elif options.cleaner != "none":
        raise OptionError(
            "a cleaner would change the phonemes",
            where=f"--cleaner {options.cleaner}",
            next_step="clean the texts of the data directories (stage 1)",
        )


def _refuse_stage(number: int, where: str) -> None:
    reason = {15: " (upload to a model hub is not part of this recipe)"}
    raise OptionError(
        f"there is no stage {number}{reason.get(number, '')}",
        where=where,
        expected=f"1 to {LAST_STAGE}",
        next_step=SEE_HELP,
    )


def sampling_rate(options: RecipeOptions) -> int:
    """``--fs`` in Hz: 8k, 16k, 8000, ... are understood."""
    text = options.fs.lower()
    number = text[:-1] if text.endswith("k") else text
    try:
        rate = round(float(number) * (1000 if text.endswith("k") else 1))
    except ValueError:
        rate = 0
    if rate <= 0:
        raise OptionError(
            f"{options.fs!r} is not a sampling rate",
            where="--fs",
            expected="for example 8k or 8000",
        )
    return rate


def skipped_stages(options: RecipeOptions) -> Dict[int, str]:
    """Stages left out by an option: number -> the option that says so."""
    skipped: Dict[int, str] = {}

    def skip(stages: Sequence[int], reason: str) -> None:
        for stage in stages:
            skipped.setdefault(stage, reason)

    for word in options.skip_stages.replace(",", " ").split():
        if not word.isdigit():
            raise OptionError(f"{word!r} is not a stage", where="--skip_stages")
        if not 1 <= int(word) <= LAST_STAGE:
            _refuse_stage(int(word), "--skip_stages")
        skip([int(word)], "--skip_stages")
    if options.skip_data_prep and not options.datadir:
        skip(range(1, 6), "--skip_data_prep true")
    if options.skip_train or options.download_model:
        reason = "--download_model" if options.download_model else "--skip_train true"
        skip([2, *range(4, 12)], reason)
    if options.skip_eval:
        skip([12, 13], "--skip_eval true")
    if options.skip_packing or options.download_model:
        skip([14], "--skip_packing true")
    if not options.speed_perturb_factors.strip():
        skip([2], "no --speed_perturb_factors")
    if not options.use_lm:
        skip([6, 7, 8], "--use_lm false")
    if not options.use_ngram:
        skip([9], "--use_ngram false")
    return skipped


def _shown(value: Any) -> str:
    if value == "":
        return '""'
    return str(value).lower() if isinstance(value, bool) else str(value)


def help_screen(settings: RecipeOptions = RecipeOptions()) -> str:
    """All options with their defaults, grouped.

    Args:
        settings: What run.sh and the words before ``--help`` set; shown where it
            differs from the default.
    """
    lines: List[str] = [
        "usage: ./run.sh [--option value ...]",
        "",
        "Runs stages 1-14: 1 data, 2 speed perturbation, 3 format, 4 filter, 5 tokens,",
        "6-8 language model, 9 n-gram, 10 statistics, 11 train, 12 decode, 13 score,",
        "14 pack; --stage align alone aligns data sets with the trained model.",
        "With --pipeline stage 11 is all trainings and alignments of the pipeline.",
        "A stage whose settings and inputs have not changed is skipped, also",
        "if --stage names it; --force true runs it again. '-' and '_' are the same in",
        "names. The defaults are asr.sh's; run.sh sets its own ('here') before yours.",
    ]
    groups: Set[str] = set()
    for field in FIELDS.values():
        group = field.metadata["group"]
        if group not in groups:
            groups.add(group)
            lines += ["", f"{group}:"]
        choices = field.metadata["choices"]
        listed = f" [{'|'.join(choices)}]" if choices and len(choices) < 6 else ""
        default, now = field.default, getattr(settings, field.name)
        values = f"default: {_shown(default)}"
        values += f"; here: {_shown(now)}" if now != default else ""
        about = f"{field.metadata['help']}{listed} ({values})"
        lines.append(f"  --{field.name:24} {about}")
    return "\n".join(lines)
