"""Sweeps over one setting of recognition: a table and a picture.

    ./run.sh sweep --beams "1 2 4 8 12 24"
    ./run.sh sweep --segments "1 2 4 10 20" --set hub5e_00

``--beams`` decodes and scores all sets with each beam size. ``--segments`` is the
robustness to longer recordings: sets in which so many consecutive segments of a side
are joined (``--concat`` of the data preparation makes them). All other options are
those of run.sh; the model must be trained. What was decoded before is not decoded
again.

Source: reference/recognition.md 5.
"""

import argparse
import csv
import dataclasses
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_ext.analysis.stored_rows import stored_rows
from espnet_ext.analysis.tables import ALL, Row, interval_text, percent
from espnet_ext.corpus.concatenation import COUNTS, joined_set_name
from espnet_ext.errors import FormatError, MissingInputError, OptionError, run_main
from espnet_ext.files import atomic_path, atomic_write
from espnet_ext.recipe.cli import run_recipe
from espnet_ext.recipe.experiment import with_experiment
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.parse import parse

BEAMS = (1, 2, 4, 8, 12, 24)
COLUMNS = ("value", "set", "metric", "words", "errors", "wer", "ci_low", "ci_high")
METRICS = ("hub5", "WER")  # the first that a set was scored with
STYLES = ("-o", "--s", ":^", "-.d")  # told apart without colour
FORMAT_STAGE, DECODE_STAGE, SCORE_STAGE = 3, 12, 13


class Point(NamedTuple):
    """The error rate of a set at one value of the setting."""

    value: int
    set_name: str
    row: Row


def numbers(text: str, option: str) -> Tuple[int, ...]:
    """``1 2,4`` as numbers in ascending order.

    Raises:
        OptionError: Something else.
    """
    found = text.replace(",", " ").split()
    if not found or not all(word.isdigit() and int(word) > 0 for word in found):
        raise OptionError(f"{text!r}", where=option, expected="whole numbers from 1")
    return tuple(sorted({int(word) for word in found}))


def with_beam(options: RecipeOptions, beam: int) -> RecipeOptions:
    """Options that decode and score with a beam size."""
    arguments = f"{options.inference_args} --beam_size {beam}".strip()
    return dataclasses.replace(
        options,
        inference_args=arguments,
        stage=DECODE_STAGE,
        stop_stage=SCORE_STAGE,
    )


def with_joined_sets(
    options: RecipeOptions, name: str, counts: Sequence[int]
) -> RecipeOptions:
    """Options that decode and score the sets with joined segments.

    Raises:
        MissingInputError: One of them was not prepared.
    """
    names = [joined_set_name(name, count) for count in counts]
    folder = Layout(options).data
    missing = [joined for joined in names if not (folder / joined).is_dir()]
    if missing:
        listed = ",".join(map(str, counts))
        raise MissingInputError(
            f"not prepared: {', '.join(missing)}",
            where=folder,
            next_step='./run.sh --stop_stage 1 --local_data_opts "--concat '
            f'{listed}"',
        )
    return dataclasses.replace(
        options,
        test_sets=" ".join(names),
        eval_valid_set=False,
        skip_train=True,
        stage=FORMAT_STAGE,
        stop_stage=SCORE_STAGE,
    )


def decode_and_score(options: RecipeOptions) -> Tuple[Path, List[Row]]:
    """Run the recipe; the experiment's folder and the rows of its decode directory.

    Raises:
        FormatError: The scores are not where the recipe puts them.
    """
    run_recipe(options)
    layout = Layout(with_experiment(options, [DECODE_STAGE, SCORE_STAGE]))
    rows = stored_rows(layout.asr_exp).get(layout.decode_name)
    if rows is None:
        raise FormatError(
            "there are no scores",
            where=layout.decode_dir,
            next_step="run stage 13 again with --force true",
        )
    return layout.asr_exp, rows


def best_rows(rows: Sequence[Row]) -> Dict[str, Row]:
    """For each whole set the row of the first of METRICS."""
    found: Dict[str, Row] = {}
    for metric in METRICS:
        for row in rows:
            if row.metric == metric and row.subset == ALL:
                found.setdefault(row.set_name, row)
    return found


def sweep_beams(options: RecipeOptions, beams: Sequence[int]):
    """Points of every set at each beam size, and the experiment's folder."""
    points: List[Point] = []
    folder = Path()
    for beam in beams:
        folder, rows = decode_and_score(with_beam(options, beam))
        points += [Point(beam, name, row) for name, row in best_rows(rows).items()]
    return folder, points


def sweep_segments(options: RecipeOptions, name: str, counts: Sequence[int]):
    """Points of a set at each number of joined segments, and the folder."""
    folder, rows = decode_and_score(with_joined_sets(options, name, counts))
    by_set = best_rows(rows)
    points = [
        Point(count, name, by_set[joined_set_name(name, count)])
        for count in counts
        if joined_set_name(name, count) in by_set
    ]
    return folder, points


def table(points: Sequence[Point], setting: str) -> List[str]:
    """Markdown: a line a value, a column a set, error rate and 95 % interval."""
    names = list(dict.fromkeys(point.set_name for point in points))
    cells = {(point.value, point.set_name): point.row for point in points}
    lines = [f"| {setting} | " + " | ".join(names) + " |"]
    lines.append("|" + "---|" * (len(names) + 1))
    for value in sorted({point.value for point in points}):
        shown = []
        for name in names:
            row = cells.get((value, name))
            text = "not run"
            if row is not None:
                rate = percent(row.counts.error_rate)
                text = f"{rate} ({interval_text(row.interval)})"
            shown.append(text)
        lines.append(f"| {value} | " + " | ".join(shown) + " |")
    return lines


def write_csv(points: Sequence[Point], path: Path) -> None:
    """All points, one a line."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for value, name, row in points:
            counts, interval = row.counts, row.interval
            writer.writerow(
                [value, name, row.metric, counts.words, counts.errors]
                + [f"{x:.3f}" for x in (counts.error_rate, interval.low, interval.high)]
            )


def draw(points: Sequence[Point], setting: str, path: Path) -> None:
    """Error rates over the setting as a PNG, with their 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(point.set_name for point in points))
    for style, name in zip(STYLES * len(names), names):
        own = sorted(point for point in points if point.set_name == name)
        values = [point.value for point in own]
        rates = [point.row.counts.error_rate for point in own]
        axes.plot(values, rates, style, markersize=3.5, label=name)
        bounds = [(p.row.interval.low, p.row.interval.high) for p in own]
        axes.fill_between(values, *zip(*bounds), alpha=0.15)
    axes.set_xscale("log", base=2)
    ticks = sorted({point.value for point in points})
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(setting)
    axes.set_ylabel("word error rate (%)")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png", metadata={"Software": None})


def report(folder: Path, name: str, setting: str, points: Sequence[Point]) -> None:
    """Write table, CSV and picture into the experiment's folder, and show the table.

    Raises:
        FormatError: There is no point.
    """
    if not points:
        raise FormatError("no set was scored", where=folder, next_step="see RESULTS.md")
    lines = table(points, setting)
    with atomic_write(folder / f"{name}.md") as file:
        file.writelines(line + "\n" for line in lines)
    write_csv(points, folder / f"{name}.csv")
    draw(points, setting, folder / f"{name}.png")
    print("\n".join(lines))
    print(f"written: {folder / name}.md, .csv, .png")


def get_parser() -> argparse.ArgumentParser:
    """Options of the command; the others are run.sh's."""
    parser = argparse.ArgumentParser(
        prog="./run.sh sweep",
        description="Decode and score with each value of a setting; writes "
        "sweep_*.md, .csv and .png into the experiment's folder. Further options are "
        "those of run.sh.",
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--beams", nargs="?", const=" ".join(map(str, BEAMS)), help="beam sizes"
    )
    which.add_argument(
        "--segments",
        nargs="?",
        const=" ".join(map(str, COUNTS)),
        help="consecutive segments joined",
    )
    parser.add_argument("--set", default="hub5e_00", help="of --segments")
    return parser


def sweep(argv: Sequence[str]) -> int:
    """Run the sweep that the options name."""
    args, rest = get_parser().parse_known_args(argv)
    options = parse(rest)
    if args.beams is not None:
        folder, points = sweep_beams(options, numbers(args.beams, "--beams"))
        report(folder, "sweep_beam", "beam size", points)
    else:
        counts = numbers(args.segments, "--segments")
        folder, points = sweep_segments(options, args.set, counts)
        report(folder, f"sweep_segments_{args.set}", "segments joined", points)
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_main(lambda: sweep(arguments))


if __name__ == "__main__":
    sys.exit(main())
