"""Two systems on the data of one recipe: ours, and one of ESPnet's own parts.

Both go through the same stages of the recipe. For ESPnet's own the commands of the jobs
differ: they run ESPnet's modules, with the stand-in for the missing loss package.
"""

import dataclasses
import datetime
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional

import yaml

from espnet_ext.analysis.score import SetScore, score_experiment
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import atomic_write
from espnet_ext.recipe import config
from espnet_ext.recipe.cli import run_stage
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import StageLog
from espnet_ext.recipe.parse import parse, sampling_rate
from espnet_ext.recipe.stages import common, decode, score
from espnet_ext.recipe.stages.filter import read_samples

# what of our configuration is about our model; the rest holds for both systems
MODEL_KEYS = (
    *("encoder", "decoder", "model", "joint_net", "init", "unused_parameters"),
    *("optim", "scheduler"),
)
STOCK_MODULES = {
    common.ASR_TRAIN: "espnet2.bin.asr_train",
    common.ASR_INFERENCE: "espnet2.bin.asr_inference",
}
STAMP = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})"
EPOCH = re.compile(
    STAMP + r" \(\w+:\d+\) INFO: (?:(?P<start>\d+)/\d+epoch started|"
    r"(?P<result>\d+)epoch results: \[train\].*?total_count=(?P<updates>\d+))"
)
PARAMETERS = re.compile(r"Total Number of model parameters: *([\d.]+) *([KMG]?)")
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclasses.dataclass(frozen=True)
class StockContext(Context):
    """A context whose jobs run ESPnet's own training and decoding."""

    def module(self, name: str, *arguments: object) -> List[str]:
        """The command that runs a Python module."""
        if name not in STOCK_MODULES:
            return super().module(name, *arguments)
        launcher = ["espnet_ext.run", "--warprnnt-shim", "-m", STOCK_MODULES[name]]
        return [self.python, "-m", *launcher, *map(str, arguments)]


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training log says.

    Args:
        parameters: Number of parameters, to five digits as ESPnet logs it.
        epochs: Number of finished epochs.
        updates: Updates in them.
        seconds: Their wall time with validation; the start of the process, which takes
            equally long for all systems, is left out.
    """

    parameters: int
    epochs: int
    updates: int
    seconds: float


def recipe_settings(run_sh: Path, jobs: int) -> List[str]:
    """The options that run.sh sets before those of its user.

    Args:
        run_sh: The script.
        jobs: Stands for the numbers of jobs, which cmd.sh would take from the machine.

    Raises:
        FormatError: The script has no such list.
    """
    text = run_sh.read_text(encoding="utf-8")
    found = re.search(r"^settings=\(\n(.*?)^\)$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise FormatError(
            "no list of settings in this script",
            where=run_sh,
            expected="settings=( ... ) as in egs2/swbd_repro/run.sh",
        )
    body = re.sub(r'"\$\{(?:inference_)?nj\}"', str(jobs), found.group(1))
    if "$" in body:
        raise FormatError("a setting depends on a variable", where=run_sh)
    return shlex.split(body, comments=True)


def make_context(words: List[str], *, stock: bool) -> Context:
    """The context of one system with the recipe's options."""
    options = parse(words)
    kind = StockContext if stock else Context
    return kind(options, Layout(options), StageLog(None, "benchmark"))


def write_stock_config(ours: Path, parts: Path, target: Path) -> Dict[str, Any]:
    """Write the complete stock configuration: its parts, and what both systems share.

    Raises:
        FormatError: Our configuration does not fix the number of updates of an epoch,
            so that none could be set for the other.
    """
    first, second = config.load_yaml(ours), config.load_yaml(parts)
    if not first.get("num_iters_per_epoch"):
        raise FormatError("no num_iters_per_epoch", where=ours, expected="a number")
    merged = {
        key: value
        for key, value in first.items()
        if key.removesuffix("_conf") not in MODEL_KEYS
    }
    merged.update(second)
    weight = (first.get("model_conf") or {}).get("ctc_weight", 0.0)
    merged["model_conf"] = {**(second.get("model_conf") or {}), "ctc_weight": weight}
    with atomic_write(target) as file:
        yaml.safe_dump(merged, file, sort_keys=False)
    return merged


def train(context: Context) -> Training:
    """Run stage 11 unless it is finished with these settings."""
    config.check_all(context.options, [11])
    run_stage(context, 11)
    exp = context.layout.asr_exp
    if isinstance(context, StockContext):
        (exp / "run.sh").unlink(missing_ok=True)  # it would run without the stand-in
    return read_training(exp / "train.log")


def read_training(log: Path) -> Training:
    """Size, length and duration of a training from ESPnet's log.

    An epoch that was cut off by an interruption and done again counts once.

    Raises:
        FormatError: The log shows no finished epoch.
    """
    text = log.read_text(encoding="utf-8", errors="replace")
    sizes = PARAMETERS.findall(text)
    starts: Dict[str, datetime.datetime] = {}
    seconds: Dict[int, float] = {}
    updates = 0
    for event in EPOCH.finditer(text):
        time = datetime.datetime.strptime(event[1], "%Y-%m-%d %H:%M:%S,%f")
        if event["start"]:
            starts[event["start"]] = time
        elif event["result"] in starts:
            started = starts.pop(event["result"])
            seconds[int(event["result"])] = (time - started).total_seconds()
            updates = int(event["updates"])
    if not sizes or not seconds:
        raise FormatError("this log shows no finished epoch", where=log)
    number, unit = sizes[-1]
    return Training(
        parameters=round(float(number) * UNITS[unit]),
        epochs=max(seconds),
        updates=updates,
        seconds=sum(seconds.values()),
    )


def decode_and_score(
    context: Context,
    note: str,
    command: str = "benchmarks/demo_vs_stock.py",
    label: str = "",
) -> List[SetScore]:
    """Run stage 12 unless it is finished with these settings, then score all sets.

    Args:
        context: Of the system.
        note: About the data, for the report.
        command: What this is part of, for the report.
        label: See ``run_stage``.
    """
    config.check_all(context.options, [12])
    run_stage(context, 12, label)
    options, layout = context.options, context.layout
    return score_experiment(
        layout.asr_exp,
        layout.decode_name,
        layout.data,
        layout.decode_sets,
        scorer=options.scorer,
        tokenize=score.tokenizer(context),
        provenance={
            "command": command,
            "config": options.asr_config,
            "seed": options.seed or "0",
            "selection_rule": options.inference_asr_model,
            "exp": layout.asr_exp.name,
            "data_hash": score.data_hash(score.reference_files(context)),
        },
        note=note,
    )


def decode_rtf(context: Context) -> Optional[float]:
    """Seconds of one core for a second of speech, without the start of the processes.

    None where the logs do not tell.
    """
    layout = context.layout
    samples = 0
    for name in layout.decode_sets:
        samples += sum(read_samples(common.decode_source(context, name)).values())
    speech_s = samples / sampling_rate(context.options)
    text = decode.real_time_factor(layout.decode_dir / "logdir", speech_s)
    found = re.match(r"[\d.]+", text)
    return float(found.group()) if found else None


def check_sizes(ours: Training, stock: Training, tolerance: float) -> None:
    """Refuse a comparison of systems of different size.

    Raises:
        OptionError: Their parameters differ by more than ``tolerance`` (a share).
    """
    ratio = stock.parameters / ours.parameters
    if abs(ratio - 1.0) > tolerance:
        raise OptionError(
            f"ESPnet's model has {stock.parameters} parameters, ours "
            f"{ours.parameters}: {ratio:.2f} times as many",
            expected=f"a difference of at most {tolerance:.0%}",
            next_step="change output_size or linear_units of encoder_conf in "
            "benchmarks/conf/stock_transducer.yaml",
        )
