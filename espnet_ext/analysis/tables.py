"""Result rows and the tables made of them: summary, sclite's, RESULTS.md, CSV."""

import csv
import math
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from espnet_ext.analysis.confidence import Interval
from espnet_ext.analysis.scores import CORPUS_OF_PREFIX, Counts, Score
from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_write

PathLike = Union[str, Path]
COLUMNS = "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|"
RULER = "|---|---|---|---|---|---|---|---|---|"
CSV_FIELDS = (
    "exp,decode,set,subset,metric,words,errors,wer,ci_low,ci_high,ci_unit,scorer,"
    "scorer_version,config_hash,git_hash,data_hash,seed,hardware,selection_rule"
).split(",")
CSV_KEY = (
    "exp",
    "decode",
    "set",
    "subset",
    "metric",
    "config_hash",
    "git_hash",
    "seed",
)
ALL = "all"


class Row(NamedTuple):
    """One error rate: a set (or subset "all" of it), what was counted, by whom.

    Args:
        metric: "hub5" for WER with the GLM, "WER", "CER" or "TER" for raw rates.
        counts: What was counted.
        interval: 95 % interval of the error rate in percent.
    """

    set_name: str
    subset: str
    metric: str
    counts: Counts
    interval: Interval
    scorer: str
    version: str

    @property
    def name(self) -> str:
        """The set, with the subset behind a dot."""
        return self.set_name if self.subset == ALL else f"{self.set_name}.{self.subset}"


def percent(value: float) -> str:
    """One decimal, or "n/a" for a rate of nothing."""
    return "n/a" if math.isnan(value) else f"{value:.1f}"


def interval_text(interval: Interval) -> str:
    """``low-high``, or "n/a"."""
    if math.isnan(interval.low):
        return "n/a"
    return f"{interval.low:.1f}-{interval.high:.1f}"


def rates(counts: Counts) -> List[str]:
    """Corr, Sub, Del, Ins, Err and S.Err in percent, as text."""
    numbers = [
        counts.correct,
        counts.substitutions,
        counts.deletions,
        counts.insertions,
        counts.errors,
    ]
    wrong = math.nan
    if counts.sentences:
        wrong = 100.0 * counts.wrong_sentences / counts.sentences
    return [percent(counts.percent(n)) for n in numbers] + [percent(wrong)]


def markdown_row(name: str, counts: Counts) -> str:
    """One line of ESPnet's table."""
    cells = [name, str(counts.sentences), str(counts.words), *rates(counts)]
    return "|" + "|".join(cells) + "|"


def summary_rows(rows: Sequence[Row]) -> List[Row]:
    """Sets and their corpora; other categories only where a set is one corpus."""
    corpora = set(CORPUS_OF_PREFIX.values())
    split = {row.set_name for row in rows if row.subset in corpora}
    return [
        row
        for row in rows
        if row.subset in (ALL, *corpora) or row.set_name not in split
    ]


def summary_table(rows: Sequence[Row]) -> str:
    """The table printed after scoring: one line a set or corpus, aligned."""
    lines = [("set", "metric", "words", "errors", "%", "95 % CI", "scorer")]
    for row in summary_rows(rows):
        lines.append(
            (
                row.name,
                "WER (hub5)" if row.metric == "hub5" else row.metric,
                str(row.counts.words),
                str(row.counts.errors),
                percent(row.counts.error_rate),
                interval_text(row.interval),
                row.scorer,
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = (False, False, True, True, True, True, False)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right)
        ).rstrip()
        for line in lines
    )


def system_table(score: Score, title: str) -> str:
    """Percentages by speaker with the lines of sclite's .sys that tools look for."""
    speakers = score.by_speaker()
    width = max([len("Sum/Avg"), *(len(name) for name in speakers)])
    lines = [
        f"{title}: SYSTEM SUMMARY PERCENTAGES by SPEAKER ({score.version})",
        "",
        f"| {'SPKR':{width}} | # Snt # Wrd | Corr    Sub    Del    Ins    Err  S.Err |",
    ]
    for name, counts in [*speakers.items(), ("Sum/Avg", score.total)]:
        numbers = "".join(f"{rate:>7}" for rate in rates(counts))
        lines.append(
            f"| {name:{width}} | {counts.sentences:5d} {counts.words:5d} |"
            f"{numbers[2:]} |"
        )
    return "\n".join(lines) + "\n"


def write_results_markdown(
    results: Mapping[str, Sequence[Row]],
    path: PathLike,
    *,
    exp: str,
    environment: Dict[str, str],
    note: str = "",
) -> None:
    """Write RESULTS.md in the layout of ESPnet's show_asr_result.

    Args:
        results: All rows by decode directory; hub5 rows get a table of their own.
        path: The file.
        exp: Name of the experiment.
        environment: Facts for the first block, in order.
        note: An honest line about the data.
    """
    rows = [(decode, row) for decode, rows in results.items() for row in rows]
    lines = ["# RESULTS", ""]
    if note:
        lines += [f"**{note}**", ""]
    lines += ["## Environments", ""]
    lines += [f"- {key}: `{value}`" for key, value in environment.items()]
    lines += ["", f"## {exp}", ""]
    for metric in ("hub5", "WER", "CER", "TER"):
        chosen = [(decode, row) for decode, row in rows if row.metric == metric]
        if not chosen:
            continue
        versions = "; ".join(sorted({row.version for _, row in chosen}))
        title = f"WER with NIST's rules (hub5, {versions})"
        lines += [f"### {title if metric == 'hub5' else metric}", "", COLUMNS, RULER]
        lines += [markdown_row(f"{d}/{row.name}", row.counts) for d, row in chosen]
        lines.append("")
    lines += ["### 95 % confidence intervals", ""]
    lines += ["|dataset|metric|Err|95 % interval|drawn by|", "|---|---|---|---|---|"]
    for decode, row in rows:
        lines.append(
            f"|{decode}/{row.name}|{row.metric}|{percent(row.counts.error_rate)}"
            f"|{interval_text(row.interval)}|{row.interval.unit}|"
        )
    with atomic_write(path) as file:
        file.write("\n".join(lines) + "\n")


def write_speaker_table(
    by_speaker: Mapping[Tuple[str, str], Mapping[str, Counts]], path: PathLike
) -> None:
    """Write a CSV file with one line for each speaker of a (set, metric)."""
    heads = "sentences words correct substitutions deletions insertions".split()
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["set", "metric", "speaker", *heads, "errors", "error_rate"])
        for (set_name, metric), speakers in by_speaker.items():
            for speaker, counts in speakers.items():
                numbers = [*counts.values()[:-1], counts.errors]
                rate = f"{counts.error_rate:.3f}"
                writer.writerow([set_name, metric, speaker, *numbers, rate])


def csv_record(row: Row, facts: Dict[str, str]) -> Dict[str, str]:
    """One CSV record; ``facts`` fills the columns that do not depend on the row."""
    record = {field: str(facts.get(field, "")) for field in CSV_FIELDS}
    record.update(
        set=row.set_name,
        subset=row.subset,
        metric=row.metric,
        words=str(row.counts.words),
        errors=str(row.counts.errors),
        wer=f"{row.counts.error_rate:.3f}",
        ci_low=f"{row.interval.low:.3f}",
        ci_high=f"{row.interval.high:.3f}",
        ci_unit=row.interval.unit,
        scorer=row.scorer,
        scorer_version=row.version,
    )
    return record


def add_csv_rows(records: Sequence[Dict[str, str]], path: PathLike) -> None:
    """Add records to a CSV file; the same experiment scored again is replaced.

    Raises:
        FormatError: The file has other columns.
    """
    path = Path(path)
    kept: List[Dict[str, str]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != tuple(CSV_FIELDS):
                raise FormatError(
                    f"columns {reader.fieldnames}",
                    where=path,
                    expected=",".join(CSV_FIELDS),
                    next_step="move the file away; a new one will be written",
                )
            kept = list(reader)
    fresh = {tuple(record[key] for key in CSV_KEY) for record in records}
    kept = [r for r in kept if tuple(r[key] for key in CSV_KEY) not in fresh]
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, CSV_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *records])
