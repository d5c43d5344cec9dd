"""One table a sub-epoch for people, and all sub-epochs in ``sub_epochs.tsv``."""

import math
from pathlib import Path
from typing import Dict, List, Mapping

from espnet_ext.files import PathLike, atomic_write

NAME = "sub_epochs.tsv"
FIRST = ("loss", "loss_per_label")
NOT_SCORES = ("time", "total_count", "gpu_max_cached_mem_GB")

Stats = Mapping[int, Mapping[str, Mapping[str, float]]]


def _names(phases: Mapping[str, Mapping[str, float]]) -> List[str]:
    found = {n for values in phases.values() for n in values if n not in NOT_SCORES}
    rest = sorted(found - set(FIRST))
    return [name for name in FIRST if name in found] + rest


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def table(epoch: int, stats: Stats) -> str:
    """Scores of a sub-epoch: one line a score, with the change of the last column.

    Example::

        sub-epoch 3          train      valid   valid before
        loss                35.201     38.442         41.900
    """
    phases = {p: v for p, v in stats[epoch].items() if p != "att_plot"}
    before = stats.get(epoch - 1, {}).get("valid", {})
    names = _names(phases)
    width = max(len(name) for name in [*names, f"sub-epoch {epoch}"])
    head = f"{f'sub-epoch {epoch}':{width}}"
    head += "".join(f"{phase:>13}" for phase in phases) + f"{'valid before':>14}"
    lines = [head]
    for name in names:
        cells = "".join(f"{_shown(v.get(name)):>13}" for v in phases.values())
        lines.append(f"{name:{width}}{cells}{_shown(before.get(name)):>14}")
    return "\n".join(lines)


def write_table(folder: PathLike, stats: Stats) -> None:
    """All sub-epochs: one line each, ``phase.score`` as columns."""
    columns: Dict[str, None] = {}
    for epoch in sorted(stats):
        for phase in ("train", "valid", "devtrain"):
            values = stats[epoch].get(phase, {})
            columns.update(dict.fromkeys(f"{phase}.{n}" for n in _names({"": values})))
    with atomic_write(Path(folder) / NAME) as file:
        file.write("\t".join(["sub_epoch", *columns]) + "\n")
        for epoch in sorted(stats):
            cells = [str(epoch)]
            for column in columns:
                phase, _, name = column.partition(".")
                value = stats[epoch].get(phase, {}).get(name)
                cells.append("" if value is None else repr(float(value)))
            file.write("\t".join(cells) + "\n")
