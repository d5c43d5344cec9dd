"""A learning-rate curve as text."""

from typing import List, Optional, Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 75
HEIGHT = 6


def curve(rates: Sequence[float], max_epoch: int) -> List[str]:
    """Lines of a bar chart: one column is one or more sub-epochs, the peak 100 %.

    Sub-epochs after the preset rates, which the validation score decides on, are dots.

    Args:
        rates: Learning rate of the first sub-epochs.
        max_epoch: Number of sub-epochs.
    """
    total = max(max_epoch, 1)
    width = min(WIDTH, total)
    preset = list(rates[:total])
    peak = max(preset, default=0.0)
    columns: List[Optional[float]] = []
    for column in range(width):
        begin, end = column * total // width, (column + 1) * total // width
        part = preset[begin:end]
        columns.append(max(part) / peak if part and peak > 0 else None)
    lines = []
    for row in reversed(range(HEIGHT)):
        text = ""
        for share in columns:
            if share is None:
                text += "." if row == 0 else " "
                continue
            eighths = round(share * HEIGHT * 8) - row * 8
            text += BLOCKS[min(max(eighths, 0), 8)]
        label = {HEIGHT - 1: f"{peak:8.1e} ", 0: f"{0:8.1e} "}.get(row, " " * 9)
        lines.append(f"{label}|{text}")
    lines.append(f"{'':9}+{'-' * width}")
    lines.append(f"{'':10}{'1':<{width - len(str(total))}}{total}")
    if len(rates) < total:
        lines.append(
            f"{'':10}dots: from sub-epoch {len(preset) + 1} on the validation score "
            "decides"
        )
    return lines
