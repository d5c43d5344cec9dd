"""Comparisons of alignments in the report of an experiment.

``espnet_ext.bin.align compare`` leaves ``comparison.json`` and a picture in a folder;
those inside of an experiment are shown on its page.
"""

import base64
import json
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional

from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike

COMPARISON, PICTURE = "comparison.json", "comparison.png"
PEAKS = {
    "label_frames": ("frames with a label", 100.0, "%"),
    "label_s": ("mean duration of a label", 1000.0, "ms"),
    "blank_run_s": ("mean stretch of blank", 1000.0, "ms"),
    "score_per_frame": ("log score of a frame", 1.0, "nats"),
    "posterior": ("share of the path in all paths", 100.0, "%"),
}
SHIFTS = {
    "mean_shift_s": "mean shift, second minus first",
    "mean_abs_shift_s": "mean absolute shift",
    "median_abs_shift_s": "median absolute shift",
    "p95_abs_shift_s": "95th percentile",
}


def comparison_table(stored: Dict[str, Any]) -> str:
    """The figures of a comparison as two HTML tables."""
    figures, names = stored["figures"], [escape(name) for name in stored["names"]]
    rows = [
        f'<tr><th scope="row">{title}</th>'
        + "".join(_cell(peak[key], factor, unit) for peak in figures["peaks"])
        + "</tr>"
        for key, (title, factor, unit) in PEAKS.items()
    ]
    agreement = figures["frame_agreement"]
    both = [
        (title, f"{1000 * figures[key]:.1f} ms") for key, title in SHIFTS.items()
    ] + [
        ("within 50 ms", f"{100 * figures['near']:.1f} %"),
        ("same symbol in a frame", _percent(agreement)),
        (
            "compared",
            f"{figures['compared']} {figures['unit']} of {figures['utterances']} "
            f"utterances; {figures['only_first']} only in the first, "
            f"{figures['only_second']} only in the second",
        ),
    ]
    made = "".join(
        f'<p class="missing">{name}: {escape(text)}</p>'
        for name, text in zip(names, stored["made"])
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    pairs = "".join(
        f'<tr><th scope="row">{title}</th><td>{value}</td></tr>'
        for title, value in both
    )
    return (
        f'{made}<div class="card scroll"><table><thead><tr><th scope="col">peaks</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<div class="card scroll"><table><thead><tr><th scope="col">time</th>'
        '<th scope="col">both</th></tr></thead>'
        f"<tbody>{pairs}</tbody></table></div>"
    )


def _cell(value: float, factor: float, unit: str) -> str:
    return f"<td>{factor * value:.1f} {unit}</td>"


def _percent(value: Optional[float]) -> str:
    return "not comparable" if value is None else f"{100 * value:.1f} %"


def alignment_section(exp_dir: PathLike) -> List[str]:
    """HTML parts for all comparisons below an experiment; none if there are none.

    Raises:
        FormatError: A file is not what ``compare`` writes.
    """
    parts: List[str] = []
    for path in sorted(Path(exp_dir).glob(f"**/{COMPARISON}")):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            table = comparison_table(stored)
            title = " and ".join(stored["names"])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"no comparison: {error!r}", where=path) from None
        parts += [f"<h3>{escape(title)}</h3>", table]
        picture = path.with_name(PICTURE)
        if picture.exists():
            data = base64.b64encode(picture.read_bytes()).decode("ascii")
            text = escape(f"Time shifts and durations: {title}")
            parts.append(
                f'<div class="card"><img alt="{text}" '
                f'src="data:image/png;base64,{data}"></div>'
            )
    return ["<h2>Alignments</h2>", *parts] if parts else []
