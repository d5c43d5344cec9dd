"""A comparison as HTML: one page with table and picture, and one an utterance.

The pages need no network and no script; pictures and sound are inside of them.
"""

import base64
import dataclasses
import io
import json
from html import escape
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.alignment.boundaries import reference_words
from espnet_ext.alignment.compare import Comparison, compare, starts_of
from espnet_ext.alignment.exchange import UNSAFE
from espnet_ext.alignment.formats.ctm import words_of_utterance
from espnet_ext.alignment.pictures import Label, Lane, draw_histograms, draw_utterance
from espnet_ext.alignment.store import WHOLE_UTTERANCE, Aligned, AlignmentSet
from espnet_ext.analysis.alignment_section import COMPARISON, PICTURE, comparison_table
from espnet_ext.analysis.report_style import STYLE
from espnet_ext.errors import MissingInputError
from espnet_ext.files import PathLike, atomic_write

INDEX = "index.html"


def write_comparison(
    sets: Sequence[AlignmentSet],
    names: Sequence[str],
    folder: PathLike,
    data_dir: Optional[PathLike] = None,
    utterances: Sequence[str] = (),
    reference: Optional[PathLike] = None,
) -> Path:
    """Write ``index.html``, the figures as JSON, the picture, and pages of utterances.

    Args:
        sets: The two alignments.
        names: What they are called.
        folder: Where to write. Inside of an experiment its report shows the figures.
        data_dir: Data directory with the audio, for pages of utterances.
        utterances: Ids that get a page of their own.
        reference: CTM of the recordings, whose words stand below on these pages.

    Raises:
        FormatError: The alignments have nothing in common.
        MissingInputError: An utterance has no alignment or no audio.
    """
    folder = Path(folder)
    first, second = sets
    figures = compare(first, second)
    starts = np.concatenate([np.zeros((0, 2)), *starts_of(first, second).values()])
    durations = [_durations(x) for x in sets]
    shifts = starts[:, 1] - starts[:, 0]
    draw_histograms(shifts, durations, names, folder / PICTURE)
    stored = {"names": list(names), "made": [_made(x) for x in sets]}
    stored["figures"] = dataclasses.asdict(figures)
    with atomic_write(folder / COMPARISON) as file:
        json.dump(stored, file, indent=1, ensure_ascii=False)
        file.write("\n")
    links: List[Tuple[str, str]] = []
    if utterances:
        links = _pages(sets, names, folder, data_dir, utterances, reference)
    body = [
        f"<h1>{escape(names[0])} and {escape(names[1])}</h1>",
        comparison_table(stored),
        f'<div class="card">{_image(folder / PICTURE, _summary(figures, names))}</div>',
        "<h2>Utterances</h2>" if links else "",
        *(f'<p><a href="{escape(p)}">{escape(k)}</a></p>' for k, p in links),
    ]
    return _write_page(folder / INDEX, " and ".join(names), body)


def _durations(alignments: AlignmentSet) -> np.ndarray:
    info = alignments.info
    rows = [entry.times(info) for entry in alignments.aligned.values()]
    times = np.concatenate([np.zeros((0, 2)), *rows])
    return (times[:, 1] - times[:, 0]) * info.frame_shift_s


def _made(alignments: AlignmentSet) -> str:
    info = alignments.info
    ahead = "whole utterance"
    if info.look_ahead_s != WHOLE_UTTERANCE:
        ahead = f"{1000 * info.look_ahead_s:.0f} ms"
    prior = f", prior scale {info.prior_scale:g}" if info.prior_scale else ""
    return (
        f"{info.method}, {info.output}, {info.topology}{prior}, frame shift "
        f"{1000 * info.frame_shift_s:.6g} ms, look-ahead {ahead}, {info.model}"
    )


def _summary(figures: Comparison, names: Sequence[str]) -> str:
    shift_ms = 1000 * figures.mean_shift_s
    which = "later" if shift_ms >= 0 else "earlier"
    return (
        f"{figures.compared} {figures.unit} in {figures.utterances} utterances: "
        f"{names[1]} is {abs(shift_ms):.0f} ms {which} on average"
    )


def _image(path: Path, text: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'
        f'<p class="missing">{escape(text)}.</p>'
    )


def _write_page(path: Path, title: str, body: Sequence[str]) -> Path:
    with atomic_write(path) as file:
        file.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
            "<body>\n<main>\n" + "\n".join(part for part in body if part)
        )
        file.write("\n</main>\n</body>\n</html>\n")
    return path


def _pages(
    sets, names, folder: Path, data_dir, keys, reference
) -> List[Tuple[str, str]]:
    from espnet_ext.corpus.kaldi_dir import read_data_dir

    if data_dir is None:
        raise MissingInputError(
            "pages of utterances need their audio", where="--data_dir"
        )
    known: Dict = {u.utterance_id: u for u in read_data_dir(data_dir)}
    said = {}
    if reference is not None:
        said = reference_words(reference, Path(data_dir), keys)
    links = []
    for key in keys:
        entries = [x.aligned.get(key) for x in sets]
        if None in entries or key not in known:
            raise MissingInputError(
                f"{key} is not in "
                + ("both alignments" if None in entries else str(data_dir)),
                where="--utterances",
            )
        name = f"{UNSAFE.sub('_', key)}.html"
        lanes = [
            lane_of(x, entry, title) for x, entry, title in zip(sets, entries, names)
        ]
        if key in said:
            lanes.append(Lane("reference", [], [Label(*word) for word in said[key]]))
        _write_utterance(folder / name, known[key], lanes)
        links.append((key, name))
    return links


def lane_of(alignments: AlignmentSet, entry: Aligned, name: str) -> Lane:
    """Labels and words of one utterance in seconds."""
    info, shift = alignments.info, alignments.info.frame_shift_s
    labels = [
        Label(run.start * shift, run.end * shift, info.tokens[run.label])
        for run in entry.runs(info)
    ]
    words = [Label(w.start_s, w.end_s, w.text) for w in words_of_utterance(entry, info)]
    return Lane(name, labels, words)


def _write_utterance(path: Path, utterance, lanes: Sequence[Lane]) -> None:
    import soundfile

    from espnet_ext.corpus.audio import read_segment

    samples, rate = read_segment(
        *(utterance.audio_path, utterance.channel),
        *(utterance.start_s, utterance.end_s),
    )
    picture = path.with_suffix(".png")
    draw_utterance(samples, rate, lanes, picture)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    sound = base64.b64encode(buffer.getvalue()).decode("ascii")
    key = escape(utterance.utterance_id)
    names = " and ".join(lane.name for lane in lanes)
    body = [
        f"<h1>{key}</h1>",
        f'<p class="sub-title">{escape(utterance.text)}</p>',
        f'<audio controls aria-label="Audio of {key}" '
        f'src="data:audio/wav;base64,{sound}"></audio>',
        '<div class="card scroll" tabindex="0" role="region" aria-label="Alignments">',
        _image(picture, f"Waveform, spectrogram and alignments: {names}").replace(
            "<img ", '<img style="max-width:none" ', 1
        ),
        "</div>",
        *(_word_table(lane) for lane in lanes),
        f'<p><a href="{INDEX}">Comparison</a></p>',
    ]
    _write_page(path, utterance.utterance_id, body)


def _word_table(lane: Lane) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(w.text)}</th><td>{w.start_s:.3f}</td>'
        f"<td>{w.end_s:.3f}</td></tr>"
        for w in lane.words
    )
    return (
        f"<h2>{escape(lane.name)}</h2>"
        '<div class="card scroll"><table><thead><tr><th scope="col">word</th>'
        '<th scope="col">start (s)</th><th scope="col">end (s)</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
