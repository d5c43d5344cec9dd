"""Pictures of alignments: histograms of a comparison, and one utterance in time."""

from pathlib import Path
from typing import List, NamedTuple, Sequence

import numpy as np

from espnet_ext.files import PathLike, atomic_path

COLOURS = ("#1f5fa8", "#c0560f", "#2f7d32")
WINDOW_S, HOP_S = 0.025, 0.005
INCHES_PER_SECOND, WIDTHS = 2.6, (8.0, 40.0)
FLOOR_DB = 70.0


class Label(NamedTuple):
    """A stretch of one lane, in seconds."""

    start_s: float
    end_s: float
    text: str


class Lane(NamedTuple):
    """One alignment of an utterance: its name, labels and words."""

    name: str
    labels: Sequence[Label]
    words: Sequence[Label]


def _figure(**options):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    return Figure(layout="constrained", **options)


def _save(figure, path: PathLike) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    return Path(path)


def draw_histograms(
    shifts_s: np.ndarray,
    durations_s: Sequence[np.ndarray],
    names: Sequence[str],
    path: PathLike,
) -> Path:
    """Time shifts between two alignments, and how long their labels last."""
    figure = _figure(figsize=(9.0, 3.2))
    left, right = figure.subplots(1, 2)
    limit = max(0.05, float(np.percentile(np.abs(shifts_s), 99))) * 1000
    left.hist(
        np.clip(shifts_s * 1000, -limit, limit), bins=51, color="#55606e", rwidth=0.92
    )
    left.axvline(0.0, color="black", linewidth=0.8)
    left.set_xlabel(f"start in {names[1]} - start in {names[0]} (ms)")
    left.set_ylabel("count")
    longest = max(
        (float(np.percentile(d, 99)) for d in durations_s if len(d)), default=1
    )
    for name, colour, durations in zip(names, COLOURS, durations_s):
        style = {"histtype": "step", "linewidth": 1.8, "color": colour, "label": name}
        clipped = np.minimum(durations, longest) * 1000
        right.hist(clipped, bins=np.linspace(0, longest * 1000 + 1, 41), **style)
    right.set_xlabel("duration of a label (ms)")
    right.legend(frameon=False)
    return _save(figure, path)


def spectrogram_db(samples: np.ndarray, rate: int) -> np.ndarray:
    """Energies in dB below the loudest, [frequencies, frames]."""
    size, hop = round(WINDOW_S * rate), max(1, round(HOP_S * rate))
    padded = np.pad(samples, (size // 2, size))
    frames = 1 + len(samples) // hop
    index = np.arange(size) + hop * np.arange(frames)[:, None]
    spectrum = np.fft.rfft(padded[index] * np.hanning(size), n=2 * size)
    energy = 20 * np.log10(np.abs(spectrum.T) + 1e-9)
    return np.maximum(energy - energy.max(), -FLOOR_DB)


def draw_utterance(
    samples: np.ndarray, rate: int, lanes: Sequence[Lane], path: PathLike
) -> Path:
    """Waveform, spectrogram and the alignments below each other on one time axis."""
    length_s = len(samples) / rate
    width = float(np.clip(INCHES_PER_SECOND * length_s, *WIDTHS))
    heights = [1.0, 2.2, *([1.0] * len(lanes))]
    figure = _figure(figsize=(width, 1.15 * sum(heights)))
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    times = np.arange(len(samples)) / rate
    axes[0].plot(times, samples, linewidth=0.4, color="#1c2430")
    axes[0].set_yticks([])
    axes[0].set_ylabel("waveform")
    axes[1].imshow(
        spectrogram_db(samples, rate),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0.0, length_s, 0.0, rate / 2000),
    )
    axes[1].set_ylabel("kHz")
    for axis, lane, colour in zip(axes[2:], lanes, COLOURS * len(lanes)):
        _draw_lane(axis, lane, colour, length_s)
        for word in lane.words:
            axes[1].axvline(word.start_s, color=colour, linewidth=0.9)
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(0.0, length_s)
    return _save(figure, path)


def _draw_lane(axis, lane: Lane, colour: str, length_s: float) -> None:
    """Words above, labels below; a short one is as wide as it lasts.

    The last frame may end behind the audio: its name is put where it can be seen.
    """
    from matplotlib.colors import to_rgba

    rows: List = [(lane.words, 0.5, 0.25), (lane.labels, 0.0, 0.55)]
    for row, bottom, alpha in rows:
        spans = [(x.start_s, x.end_s - x.start_s) for x in row]
        axis.broken_barh(
            *(spans, (bottom + 0.02, 0.46)),
            **{"facecolors": to_rgba(colour, alpha), "edgecolors": "white"},
            linewidth=1.0,
        )
        for place, label in enumerate(row):
            # names of labels that follow closely take turns in height
            height = bottom + (0.13 if bottom == 0.0 and place % 2 else 0.3)
            middle = (label.start_s + min(label.end_s, length_s)) / 2
            at = label.start_s if bottom == 0.0 else middle
            axis.text(
                at,
                height,
                label.text,
                ha="left" if bottom == 0.0 else "center",
                va="center",
                fontsize=7.5,
                color="#1c2430",
                parse_math=False,
                clip_on=False,
            )
    axis.set_ylim(0.0, 1.0)
    axis.set_yticks([])
    axis.set_ylabel(lane.name, color=colour, fontsize=8)
