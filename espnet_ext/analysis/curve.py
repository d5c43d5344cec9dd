"""The training curve of an experiment, read from ESPnet's log and drawn as a PNG.

ESPnet's reporter writes one line an epoch (espnet2/train/reporter.py, 202611):
``... 3epoch results: [train] loss=1.234, ..., [valid] loss=2.345, cer=0.5, ...``
"""

import math
import re
from pathlib import Path
from typing import Dict, List, Tuple, Union

from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_path, read_lines

PathLike = Union[str, Path]
History = Dict[int, Dict[str, float]]
_RESULTS = re.compile(r"(\d+)epoch results: (.*)$")
_SECTION = re.compile(r"(?:^|, )\[([^\]]+)\] ")
_VALUE = re.compile(r"(?:^|, )([\w.]+)=([^,]+)")
LOSSES = ("train/loss", "valid/loss", "devtrain/loss")
ERROR_RATES = ("valid/wer", "valid/cer", "valid/wer_transducer", "valid/cer_transducer")
STYLES = ("-o", "--s", ":^", "-.d")  # told apart without colour


def read_history(log: PathLike) -> History:
    """Epoch -> {"train/loss": ..., "valid/cer": ...} of one log file.

    An epoch that was run again after a restart counts as it was last.
    """
    history: History = {}
    for line in read_lines(log):
        found = _RESULTS.search(line)
        if found:
            history[int(found.group(1))] = parse_results(found.group(2))
    return history


def parse_results(text: str) -> Dict[str, float]:
    """The numbers behind ``epoch results:``; durations and texts are left out."""
    values: Dict[str, float] = {}
    parts = _SECTION.split(text)
    for section, body in zip(parts[1::2], parts[2::2]):
        for key, value in _VALUE.findall(body):
            try:
                values[f"{section}/{key}"] = float(value)
            except ValueError:
                continue
    return values


def experiment_history(exp_dir: PathLike) -> History:
    """The history over all logs of an experiment; train.log is the newest of them."""

    def age(path: Path) -> Tuple[int, str]:
        number = path.name.split(".")[1]
        return (-int(number) if number.isdigit() else 1, path.name)

    history: History = {}
    for log in sorted(Path(exp_dir).glob("train*.log"), key=age):
        history.update(read_history(log))
    return dict(sorted(history.items()))


def plot_training_curve(history: History, path: PathLike) -> None:
    """Draw losses and, where they were logged, error rates of the validation set.

    Args:
        history: Epoch -> values, as from :func:`read_history`.
        path: The PNG to write.

    Raises:
        FormatError: The history has no loss at all.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    losses = _present(history, LOSSES)
    if not losses:
        raise FormatError(
            "no loss in the training history",
            where=path,
            expected=" or ".join(LOSSES),
        )
    panels = [("loss", losses, 1.0)]
    rates = _present(history, ERROR_RATES)
    if rates:
        panels.append(("error rate (%)", rates, 100.0))
    figure = Figure(figsize=(7.2, 2.9 * len(panels)), layout="constrained")
    for axes, (label, keys, factor) in zip(
        figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels
    ):
        for style, key in zip(STYLES, keys):
            points = [
                (epoch, factor * values[key])
                for epoch, values in sorted(history.items())
                if math.isfinite(values.get(key, math.nan))
            ]
            axes.plot(*zip(*points), style, markersize=3.5, label=key)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if factor != 1.0:
            axes.set_ylim(bottom=0.0)
    axes.set_xlabel("epoch")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png", metadata={"Software": None})


def _present(history: History, keys) -> List[str]:
    return [
        key
        for key in keys
        if any(math.isfinite(v.get(key, math.nan)) for v in history.values())
    ]
