"""A picture of the scores over the sub-epochs, beside the checkpoint."""

import csv
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from espnet_ext.files import PathLike, atomic_path

NAME = "training_curve.png"
REFERENCE = Path(__file__).with_name("orig_dev_scores.tsv")
REFERENCE_EXPERIMENTS = ("orig",)  # names that begin so were trained like this
COLOURS = {
    "train": "#4c78a8",
    "valid": "#e45756",
    "devtrain": "#54a24b",
    "reference": "#9a9a9a",
}


def reference_scores(experiment: Optional[str]) -> List[float]:
    """Development score of each sub-epoch of the original run, [] if there is none.

    Source: reference/orig_dev_scores.tsv (run of 2020, 250 sub-epochs).
    """
    if not str(experiment or "").startswith(REFERENCE_EXPERIMENTS):
        return []
    with open(REFERENCE, encoding="utf-8", newline="") as file:
        return [float(row["dev_score"]) for row in csv.DictReader(file, delimiter="\t")]


def series(
    stats: Mapping[int, Mapping[str, Mapping[str, float]]], phase: str, name: str
) -> Tuple[List[int], List[float]]:
    """Sub-epochs and values where the score exists."""
    found = [(e, stats[e].get(phase, {}).get(name)) for e in sorted(stats)]
    pairs = [(epoch, float(value)) for epoch, value in found if value is not None]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def draw_curve(
    folder: PathLike,
    stats: Mapping[int, Mapping[str, Mapping[str, float]]],
    experiment: Optional[str] = None,
) -> Path:
    """Write the picture: loss per sequence of all sets, learning rate below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    drawn: Dict[str, List[float]] = {}
    for phase in ("train", "valid", "devtrain"):
        epochs, values = series(stats, phase, "loss")
        if phase == "devtrain" and not values:
            continue
        top.plot(epochs, values, marker=".", color=COLOURS[phase], label=phase)
        drawn[phase] = values
    reference = reference_scores(experiment)[: max(stats, default=1) + 10]
    if reference:
        top.plot(
            range(1, len(reference) + 1),
            reference,
            color=COLOURS["reference"],
            label="original, development set",
        )
    positive = all(v > 0 for values in drawn.values() for v in values)
    top.set_yscale("log" if positive and any(drawn.values()) else "linear")
    top.set_ylabel("loss per sequence (nats)")
    top.grid(alpha=0.3)
    top.legend()
    epochs, rates = series(stats, "train", "optim0_lr0")
    bottom.plot(epochs, rates, marker=".", color=COLOURS["reference"])
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("sub-epoch")
    bottom.grid(alpha=0.3)
    target = Path(folder) / NAME
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=110)
    return target
