"""Stage 12: decoding in parallel jobs, merged, complete or an error."""

import json
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.interop.packed import unpack_archive
from espnet_ext.names import nearest
from espnet_ext.recipe import subword_nmt
from espnet_ext.recipe.cluster_jobs import cluster_of, run_jobs_on
from espnet_ext.recipe.config import settings_of
from espnet_ext.recipe.context import Context, words
from espnet_ext.recipe.jobs import Job, cores
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.parse import sampling_rate
from espnet_ext.recipe.stages.common import (
    ASR_INFERENCE,
    decode_source,
    keys_of,
    write_keys,
)
from espnet_ext.recipe.stages.filter import read_samples
from espnet_ext.recipe.stages.format import SAMPLES_FILE, STAMP_FILE, speech_source
from espnet_ext.recipe.state import Due, Unit

BEST = "1best_recog"
RESULTS = ("text", "token", "token_int", "score")
TIMES = "word_times"  # only of searches that know the frame of each label
FAILED, FACTS = "failed", "decoding.json"
# files that a decoding configuration may name
FUSION_FILES = (
    *("lm_train_config", "lm_file", "ngram_file", "ilm_file"),
    *("source_lm_train_config", "source_lm_file", "source_ngram_file"),
    *("lexicon_file", "word_ngram_file"),
)
SHOWN_IDS = 5
LOG_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) .*?(speech length|best hypo)"
)


def units(context: Context) -> List[Unit]:
    """One unit a set."""
    options, layout = context.options, context.layout
    config, model, extra = model_files(context)
    extra += ngram_files(context)
    if options.token_type == "phn" and not options.download_model:
        extra.append(layout.lexicon)
    settings = settings_of(options.inference_config, options.inference_args)
    named = [settings.get(name) for name in FUSION_FILES]
    extra += [Path(str(file)) for file in named if file and file != "none"]
    settings.update(context.chosen("batch_size", "gpu_inference"))
    made = []
    for name in layout.decode_sets:
        source = decode_source(context, name)
        files = [source / file for file in (SAMPLES_FILE, STAMP_FILE)]
        files.append(speech_source(context, source)[0])
        target = layout.decode_dir / name
        made.append(
            Unit(
                stage=12,
                target=str(target),
                settings=settings,
                inputs=[config, model, *extra, *files],
                outputs=[target / file for file in ("text", "token", "score")],
                root=layout.exp,
                made_by=3,
                kind=name,
            )
        )
    return made


def model_files(context: Context) -> Tuple[Path, Path, List[Path]]:
    """Configuration, weights, and the language model's two files if it is used.

    Raises:
        MissingInputError: The weights do not exist; names those that do.
        OptionError: The language model has other units than the recognizer.
    """
    options, layout = context.options, context.layout
    word_ngram = options.use_ngram and options.token_type != "phn"
    if layout.lm_token_type != options.token_type and (options.use_lm or word_ngram):
        raise OptionError(
            f"this language model of words cannot score {options.token_type} units",
            where="--use_word_lm true",
            next_step=(
                "--use_lm false and an n-gram of words (--use_ngram true)"
                if options.token_type == "phn"
                else "decode without it, or train it on the units of the recognizer"
            ),
        )
    if options.download_model:
        return *downloaded(options.download_model, layout), []
    extra = []
    if options.use_lm:
        extra = [layout.lm_exp / "config.yaml", layout.lm_exp / options.inference_lm]
    exp = layout.asr_exp
    model = exp / options.inference_asr_model
    if not model.exists() and exp.is_dir():
        there = sorted(path.name for path in exp.glob("*.pth"))
        close = nearest(model.name, there)
        raise MissingInputError(
            "there are no such weights",
            where=model,
            expected=f"one of {', '.join(there)}" if there else "a trained model",
            next_step=f"--inference_asr_model {close}" if close else "--stage 11",
        )
    return exp / "config.yaml", model, extra


def ngram_files(context: Context) -> List[Path]:
    """The n-gram model if it is used.

    Raises:
        MissingInputError: It does not exist.
    """
    options, layout = context.options, context.layout
    if not options.use_ngram or options.download_model:
        return []
    model = layout.ngram_exp / layout.ngram_file
    if not model.exists():
        raise MissingInputError(
            "there is no such n-gram model", where=model, next_step="--stage 9"
        )
    return [model]


def downloaded(model: str, layout: Layout) -> Tuple[Path, Path]:
    """Unpack a packed model, or fetch one by its tag in ESPnet's model zoo.

    Raises:
        MissingInputError: Neither a file nor a tag that can be fetched.
        FormatError: The archive holds no ASR model.
    """
    if Path(model).is_file():
        files = unpack_archive(Path(model), layout.asr_exp)
    else:
        try:
            from espnet_model_zoo.downloader import ModelDownloader

            files = ModelDownloader(layout.exp / "zoo").download_and_unpack(model)
        except Exception as error:  # whatever the network and the zoo raise
            raise MissingInputError(
                f"neither a file nor a model that could be fetched: {error}",
                where=f"--download_model {model}",
                next_step="give the path of an archive that stage 14 wrote",
            ) from None
    try:
        return Path(files["asr_train_config"]), Path(files["asr_model_file"])
    except KeyError:
        raise FormatError("the archive holds no ASR model", where=model) from None


def run(context: Context, due: Due) -> Dict[str, object]:
    """Decode the sets that are due, all in the same jobs, and sort the results."""
    sets = {Path(unit.target).name: Path(unit.target) for unit, _ in due}
    resume = all(decision.resume for _, decision in due)
    logdir = context.layout.decode_dir / "logdir"
    if not resume:
        shutil.rmtree(logdir, ignore_errors=True)
    groups = group_sets(
        {n: keys_of(speech_source(context, decode_source(context, n))[0]) for n in sets}
    )
    facts: Dict[str, object] = {}
    for number, names in enumerate(groups):
        folder = logdir if len(groups) == 1 else logdir / str(number)
        facts.update(_decode_group(context, {n: sets[n] for n in names}, folder))
    return facts


def group_sets(keys: Dict[str, Sequence[str]]) -> List[List[str]]:
    """Sets that share no utterance id may be decoded in the same processes.

    A process takes many seconds to start, so that fewer of them are better.
    """
    groups: List[Tuple[set, List[str]]] = []
    for name, ids in keys.items():
        for taken, names in groups:
            if taken.isdisjoint(ids):
                taken.update(ids)
                names.append(name)
                break
        else:
            groups.append((set(ids), [name]))
    return [names for _, names in groups]


def _decode_group(
    context: Context, sets: Dict[str, Path], folder: Path
) -> Dict[str, object]:
    options = context.options
    lines, samples = {}, {}
    set_of = {}
    for name in sets:
        source = decode_source(context, name)
        samples.update(read_samples(source))
        speech, kind = speech_source(context, source)
        for line in read_lines(speech):
            key = line.split(maxsplit=1)[0]
            lines[key], set_of[key] = line, name
    scp = folder / speech.name
    with atomic_write(scp) as file:
        file.writelines(line + "\n" for _, line in sorted(lines.items()))
    # the longest first, dealt out in turn: all jobs get about the same amount
    ordered = sorted(lines, key=lambda key: (-samples[key], key))
    count = min(options.inference_nj, len(ordered))
    if options.cluster == "local":
        count = 1 if options.gpu_inference else min(count, cores())
    jobs, outputs = [], []
    for number in range(1, count + 1):
        keys = ordered[number - 1 :: count]
        if options.batch_size == 1:
            keys.sort()  # batches are better of utterances of about the same length
        output = folder / f"output.{number}"
        outputs.append(output)
        key_file = folder / f"keys.{number}.scp"
        known = key_file.exists() and keys_of(key_file) == keys
        if known and _complete(output, keys, allowed_failures(context)):
            continue  # finished before an interruption
        write_keys(key_file, keys)
        command = context.module(
            ASR_INFERENCE, *arguments(context, scp, kind, key_file, output)
        )
        log = folder / f"asr_inference.{number}.log"
        jobs.append(Job(f"decoding {number}", command, log, weight=len(keys)))
    run_jobs_on(cluster_of(context), jobs, "decoding")
    facts = {
        name: merge(context, outputs, set_of, *sets_item)
        for sets_item in sets.items()
        for name in [sets_item[0]]
    }
    speech_s = sum(samples[key] for key in lines) / sampling_rate(options)
    facts["real-time factor"] = real_time_factor(folder, speech_s)
    return facts


def arguments(
    context: Context, scp: Path, kind: str, keys: Path, output: Path
) -> List[str]:
    """Options of asr_inference."""
    options = context.options
    config, model, extra = model_files(context)
    given = ["--config", options.inference_config] if options.inference_config else []
    given += ["--ngpu", "1" if options.gpu_inference else "0"]
    given += ["--batch_size", str(options.batch_size)]
    given += ["--data_path_and_name_and_type", f"{scp},speech,{kind}"]
    given += ["--key_file", str(keys), "--output_dir", str(output)]
    given += ["--asr_train_config", str(config), "--asr_model_file", str(model)]
    if extra:
        given += ["--lm_train_config", str(extra[0]), "--lm_file", str(extra[1])]
    of_words = context.layout.lm_token_type != options.token_type
    for file in ngram_files(context):
        given += ["--word_ngram_file" if of_words else "--ngram_file", str(file)]
    return given + words("inference_args", options.inference_args)


def allowed_failures(context: Context) -> int:
    """How many utterances of a job may fail: ``max_failures`` of asr_inference."""
    options = context.options
    settings = settings_of(options.inference_config, options.inference_args)
    return int(settings.get("max_failures", 0))


def failures(output: Path) -> Dict[str, str]:
    """Utterances of a job that have no result, and why."""
    path = output / FAILED
    rows = (line.partition(" ") for line in read_lines(path)) if path.exists() else ()
    return {key: reason for key, _, reason in rows}


def _complete(output: Path, keys: Sequence[str], allowed: int) -> bool:
    text = output / BEST / "text"
    if not text.exists() or set(keys_of(text)) != set(keys):
        return False
    return len(failures(output)) <= allowed


def merge(
    context: Context,
    outputs: Sequence[Path],
    set_of: Dict[str, str],
    name: str,
    target: Path,
) -> str:
    """Put the parts of one set together, sorted by id.

    Raises:
        FormatError: An utterance has no result; it is named.
    """
    expected = {key for key, owner in set_of.items() if owner == name}
    for part in sorted({p.name for o in outputs for p in o.glob("*best_recog")}):
        folder = target if part == BEST else target / part
        for kind in (*RESULTS, TIMES):
            rows = {}
            for file in (output / part / kind for output in outputs):
                for line in read_lines(file) if file.exists() else ():
                    key, _, value = line.partition(" ")
                    if key in expected:
                        rows[key] = value.strip()
            if kind == "text" and context.layout.subword_nmt:
                rows = {key: subword_nmt.join(value) for key, value in rows.items()}
            missing = sorted(expected.difference(rows))
            if kind == TIMES and not rows:
                continue
            if missing and part == BEST and kind != TIMES:
                more = f" ... ({len(missing)} in all)" * (len(missing) > SHOWN_IDS)
                raise FormatError(
                    f"no {kind} for {', '.join(missing[:SHOWN_IDS])}{more}",
                    where=target,
                    expected=f"a result for each of {len(expected)} utterances",
                    next_step="see the logs in the decode directory's logdir",
                )
            with atomic_write(folder / kind) as file:
                file.writelines(
                    f"{k} {v}".rstrip() + "\n" for k, v in sorted(rows.items())
                )
    failed = {k: r for o in outputs for k, r in failures(o).items() if k in expected}
    with atomic_write(target / FAILED) as file:
        file.writelines(f"{key} {reason}\n" for key, reason in sorted(failed.items()))
    for file_of_job in (output / FACTS for output in outputs):
        if file_of_job.exists():  # the same weights in all of them
            weights = json.loads(file_of_job.read_text(encoding="utf-8"))["weights"]
            with atomic_write(target / FACTS) as file:
                json.dump({"weights": weights}, file)
    empty = sum(len(line.split()) == 1 for line in read_lines(target / "text"))
    note = f", {empty} of them empty" if empty else ""
    note += f", {len(failed)} FAILED: {target / FAILED}" if failed else ""
    return f"{len(expected)} utterances{note} ({target})"


def real_time_factor(folder: Path, speech_s: float) -> str:
    """Time of decoding over time of speech, without loading of models and files.

    As our command wrote it; for others from each utterance's start to its result in
    the logs.
    """
    decoding_s = 0.0
    for facts in sorted(folder.glob(f"output.*/{FACTS}")):
        decoding_s += json.loads(facts.read_text(encoding="utf-8"))["seconds"]
    if not decoding_s:
        decoding_s = sum(map(_logged_s, sorted(folder.glob("asr_inference.*.log"))))
    if not decoding_s:
        return "not known (the logs show no times)"
    return f"{decoding_s / speech_s:.3f} ({decoding_s:.0f} s for {speech_s:.0f} s)"


def _logged_s(log: Path) -> float:
    decoding_s, start = 0.0, None
    text = log.read_text(encoding="utf-8", errors="replace")
    for stamp, mark in LOG_TIME.findall(text):
        moment = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")
        if mark == "speech length":
            start = moment
        elif start is not None:
            decoding_s += (moment - start).total_seconds()
            start = None
    return decoding_s
