"""The report of an experiment: one HTML page that needs no network and no scripts.

Results with confidence intervals, the training curve, the worst utterances with aligned
words and audio players, and where all of it comes from. Errors carry the letters S, D
and I besides their colours.
"""

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from espnet_ext.analysis.align import CORRECT_OP, Pair
from espnet_ext.analysis.alignment_section import alignment_section
from espnet_ext.analysis.curve import experiment_history, plot_training_curve
from espnet_ext.analysis.kaldi_text import read_segments, read_sides, read_table
from espnet_ext.analysis.report_style import STYLE
from espnet_ext.analysis.scores import ScoredSegment
from espnet_ext.analysis.tables import ALL, Row, interval_text, percent
from espnet_ext.errors import UserError
from espnet_ext.files import atomic_path, atomic_write

if TYPE_CHECKING:  # score.py writes reports; the type alone is needed here
    from espnet_ext.analysis.score import SetScore

PathLike = Union[str, Path]
AUDIO = Path("report") / "audio"
CURVE = Path("report") / "training_curve.png"
METRIC_NAMES = {"hub5": "WER (hub5)", "WER": "raw WER"}
GAP = "···"


class Clip(NamedTuple):
    """Where an utterance can be heard: file, channel, seconds (end None: all of it)."""

    path: str
    channel: int
    start: float
    end: Optional[float]


def write_report(
    exp_dir: PathLike,
    scores: Sequence["SetScore"],
    rows: Sequence[Row],
    *,
    facts: Dict[str, str],
    versions: Dict[str, str],
    note: str = "",
    worst: int = 10,
) -> Path:
    """Write EXP/index.html and EXP/report/.

    Args:
        exp_dir: The experiment; its training logs give the curve.
        scores: Scores of the sets.
        rows: Their rows.
        facts: Provenance: exp, decode, command, config, seed, hardware, ...
        versions: Versions and date.
        note: An honest line about the data, shown at the top.
        worst: How many utterances to show.

    Returns:
        Path of the page.
    """
    exp_dir = Path(exp_dir)
    for old in (exp_dir / AUDIO).glob("*.wav"):
        old.unlink()
    curve = _draw_curve(exp_dir)
    utterances = worst_utterances(scores, worst)
    body = [
        f"<h1>{escape(facts.get('exp', exp_dir.name))}</h1>",
        f'<p class="sub-title">{escape(facts.get("decode", ""))}</p>',
        f'<p class="note" role="note">{escape(note)}</p>' if note else "",
        "<h2>Results</h2>",
        results_table(rows),
        "<h2>Training</h2>",
        curve,
        f"<h2>The {len(utterances)} worst utterances</h2>",
        _LEGEND,
        *(_utterance(exp_dir, score, segment) for score, segment in utterances),
        *alignment_section(exp_dir),
        "<h2>Where these numbers come from</h2>",
        _provenance({**facts, **versions}, rows),
    ]
    title = escape(facts.get("exp", exp_dir.name))
    page = exp_dir / "index.html"
    with atomic_write(page) as file:
        file.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}: results</title>\n<style>{STYLE}</style>\n</head>\n"
            "<body>\n<main>\n" + "\n".join(part for part in body if part)
        )
        file.write("\n</main>\n</body>\n</html>\n")
    return page


def results_table(rows: Sequence[Row]) -> str:
    """The results as an HTML table; subsets are indented below their set."""
    lines = []
    for row in rows:
        counts = row.counts
        part = row.subset != ALL
        name = row.subset if part else row.set_name
        cells = [
            METRIC_NAMES.get(row.metric, row.metric),
            f'<td class="rate">{percent(counts.error_rate)}</td>',
            interval_text(row.interval).replace("-", "&ndash;"),
            f"{counts.words:,}",
            f"{counts.substitutions:,}",
            f"{counts.deletions:,}",
            f"{counts.insertions:,}",
        ]
        tds = "".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in cells)
        kind = ' class="part"' if part else ""
        lines.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{tds}</tr>')
    units = " or ".join(sorted({f"{row.interval.unit}s" for row in rows}))
    heads = ("measure", "%", "95 % interval", "words", "Sub", "Del", "Ins")
    return (
        '<p class="legend">Error rates in percent, intervals by bootstrap over '
        f"{units}. Rates named hub5 follow NIST&rsquo;s rules; raw ones compare the "
        "texts as they are.</p>"
        '<div class="card scroll" tabindex="0" role="region" aria-label="Results">'
        "<table><thead><tr>"
        '<th scope="col">set</th>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + "</tr></thead><tbody>"
        + "".join(lines)
        + "</tbody></table></div>"
    )


def _draw_curve(exp_dir: Path) -> str:
    history = experiment_history(exp_dir)
    try:
        plot_training_curve(history, exp_dir / CURVE)
    except UserError:
        (exp_dir / CURVE).unlink(missing_ok=True)
        return '<p class="missing">No training log in this experiment.</p>'
    picture = base64.b64encode((exp_dir / CURVE).read_bytes()).decode("ascii")
    last = max(history)
    losses = ", ".join(
        f"{key} {history[last][key]:.3g}"
        for key in ("train/loss", "valid/loss")
        if key in history[last]
    )
    text = escape(f"Training curve over {len(history)} epochs; at the end {losses}")
    return (
        f'<div class="card"><img alt="{text}" src="data:image/png;base64,{picture}">'
        f'<p class="missing">{text}.</p></div>'
    )


def worst_utterances(
    scores: Sequence["SetScore"], number: int
) -> List[Tuple["SetScore", ScoredSegment]]:
    """The utterances with the most errors, then the highest error rate, of all sets."""
    found = [
        (score, segment)
        for score in scores
        for segment in score.main.segments
        if segment.alignment.errors
    ]
    found.sort(
        key=lambda item: (
            -item[1].alignment.errors,
            item[1].alignment.words,
            item[0].name,
            item[1].id,
        )
    )
    return found[:number]


_LEGEND = (
    '<p class="legend"><b class="S">S</b> substituted, <b class="D">D</b> deleted '
    '(missing in the hypothesis), <b class="I">I</b> inserted. Words in parentheses '
    "may be left out without an error.</p>"
)


def _utterance(exp_dir: Path, score: "SetScore", segment: ScoredSegment) -> str:
    counts = segment.counts
    words = [
        ("Reference", [pair.ref for pair in segment.alignment.pairs if pair.ref]),
        ("Hypothesis", [pair.hyp for pair in segment.alignment.pairs if pair.hyp]),
    ]
    spoken = "".join(
        f"<p>{name}: {escape(' '.join(text)) or 'nothing'}</p>" for name, text in words
    )
    return (
        f'<article class="card utterance"><h3>{escape(score.name)} '
        f"{escape(segment.id)} <small>{counts.errors} wrong of {counts.words} words "
        f"({counts.substitutions} S, {counts.deletions} D, {counts.insertions} I), "
        f"speaker {escape(segment.speaker)}</small></h3>"
        f"{_player(exp_dir, score, segment)}"
        f'<div class="sr">{spoken}</div>'
        f'<div class="aligned" aria-hidden="true">{_aligned(segment.alignment.pairs)}'
        "</div></article>"
    )


def _aligned(pairs: Sequence[Pair]) -> str:
    cells = [
        '<span class="row-names"><span>ref</span><span>hyp</span><span>&nbsp;</span>'
        "</span>"
    ]
    for pair in pairs:
        ref, hyp = (
            (
                f"<span>{escape(word)}</span>"
                if word
                else f'<span class="gap">{GAP}</span>'
            )
            for word in (pair.ref, pair.hyp)
        )
        letter = "&nbsp;" if pair.op == CORRECT_OP else pair.op
        cells.append(
            f'<span class="pair {pair.op}">{ref}{hyp}'
            f'<span class="op">{letter}</span></span>'
        )
    return "".join(cells)


def _player(exp_dir: Path, score: "SetScore", segment: ScoredSegment) -> str:
    try:
        clip = find_clip(score.data_dir, segment)
        name = _audio_name(score.name, segment.id)
        _write_clip(clip, exp_dir / AUDIO / name)
    except (UserError, OSError) as error:
        reason = error.found if isinstance(error, UserError) else str(error)
        return f'<p class="missing">No audio: {escape(reason)}</p>'
    source = escape((AUDIO / name).as_posix())
    label = escape(f"Audio of {segment.id}")
    return (
        f'<audio controls preload="none" src="{source}" aria-label="{label}"></audio>'
    )


def _audio_name(set_name: str, segment_id: str) -> str:
    """A file name that is safe in links and differs where the ids differ."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{set_name}-{segment_id}")[:80]
    digest = hashlib.sha256(f"{set_name}\0{segment_id}".encode()).hexdigest()[:8]
    return f"{plain}-{digest}.wav"


def find_clip(data_dir: PathLike, segment: ScoredSegment) -> Clip:
    """Where a scored segment can be heard.

    Args:
        data_dir: Has wav.scp, and segments and reco2file_and_channel where they apply.
        segment: From raw scoring (found by its id) or from an STM (by file and time).

    Raises:
        UserError: The data directory does not know the recording.
    """
    data_dir = Path(data_dir)
    audio = read_table(data_dir / "wav.scp")
    sides_path = data_dir / "reco2file_and_channel"
    sides = read_sides(sides_path) if sides_path.exists() else {}
    if segment.file:
        wanted = (segment.file, segment.channel)
        named = {tuple(text.lower() for text in s): r for r, s in sides.items()}
        recording = named.get(wanted, f"{segment.file}-{segment.channel.upper()}")
        start, end = segment.start, segment.end
    else:
        recording, start, end = segment.id, 0.0, None
        segments_path = data_dir / "segments"
        if segments_path.exists():
            place = read_segments(segments_path).get(segment.id)
            if place is None:
                raise UserError(f"{segment.id} is not in segments")
            recording, start, end = place
    if recording not in audio:
        raise UserError(f"recording {recording} is not in wav.scp")
    channel = sides.get(recording, ("", "A"))[1].upper()
    return Clip(audio[recording], int(channel in ("B", "2")), start, end)


def _write_clip(clip: Clip, target: Path) -> None:
    import numpy as np
    import soundfile

    from espnet_ext.corpus.audio import read_segment

    samples, rate = read_segment(clip.path, clip.channel, clip.start, clip.end)
    with atomic_path(target) as temporary:
        soundfile.write(temporary, np.clip(samples, -1, 1), rate, subtype="PCM_16")


def _provenance(facts: Dict[str, str], rows: Sequence[Row]) -> str:
    facts = dict(facts)
    facts["scorer"] = ", ".join(sorted({row.version for row in rows}))
    entries = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>"
        for key, value in facts.items()
        if value != ""
    )
    return f'<div class="card"><dl>{entries}</dl></div>'
