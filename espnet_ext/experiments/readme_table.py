"""Writes the README's table of results out of the register.

    python -m espnet_ext.experiments.readme_table           # write
    python -m espnet_ext.experiments.readme_table --check   # compare, status 1 if stale

``results/published.csv`` has what others reported, ``results/runs.csv`` what stage 13
registered on LDC data; an experiment without a run says so.
"""

import argparse
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

from espnet_ext.analysis.register import RUNS, read_register
from espnet_ext.analysis.tables import ALL
from espnet_ext.errors import FormatError, run_main
from espnet_ext.experiments.files import REPOSITORY
from espnet_ext.experiments.published import FILE, SETS, load_published
from espnet_ext.files import atomic_write

BEGIN = "<!-- results: python -m espnet_ext.experiments.readme_table -->"
END = "<!-- end of results -->"
HUB5 = "hub5"
NOT_RUN = "not run"
# the original's 2020 baseline, its re-implementation, and its good Conformer baselines
ROWS = (
    "start_slowpretrain",
    "orig_pre20bs5k_native_fixsepblanklast",
    "conformer_ln_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff",
    "conformer_ln_pre10_d384_h6_blstmf2_fix245_wdro_specaugweia_attdrop01_posdrop01_"
    "aux48ff_mhsapinit05_lsxx01",
    "conformer_ln_pre10a_d384_h6_cnnblstmf2_chunk50_fix245_wdro_specaugweia_attdrop01_"
    "posdrop01_aux48ff_mhsapinit05_lsxx01",
)


def own_rates(folder: Path, name: str) -> Dict[str, str]:
    """WER per set of an experiment's runs here: the latest of each seed.

    Several seeds are given as their mean and range.
    """
    latest: Dict[str, Dict[str, float]] = {}
    for row in read_register(folder / RUNS):
        wanted = (row["experiment"], row["metric"], row["subset"])
        if wanted == (name, HUB5, ALL):
            latest.setdefault(row["set"], {})[row["seed"]] = float(row["wer"])
    return {set_: _rate(list(by_seed.values())) for set_, by_seed in latest.items()}


def _rate(rates: Sequence[float]) -> str:
    mean = f"{sum(rates) / len(rates):.1f}"
    if len(rates) == 1:
        return mean
    return f"{mean} ({min(rates):.1f}-{max(rates):.1f}, {len(rates)} seeds)"


def table(folder: Path, names: Sequence[str] = ROWS) -> str:
    """The table in Markdown."""
    published = load_published(folder)
    lines = [
        f"| experiment | original: {' / '.join(SETS)} | here |",
        "|---|---|---|",
    ]
    for name in names:
        rates = published.word_error_rates(name)
        original = " / ".join(f"{rates[s]:.1f}" if s in rates else "-" for s in SETS)
        here = own_rates(folder, name)
        result = " / ".join(here.get(s, "-") for s in SETS) if here else NOT_RUN
        lines.append(f"| `{name}` | {original} | {result} |")
    lines += [
        "",
        "WER in %, no language model. The original's checkpoints were selected on "
        "hub5e_00, and identical runs differ by up to 3 % there "
        f"([results/{FILE}](results/{FILE}): every published figure, its source and "
        "selection rule).",
    ]
    return "\n".join(lines)


def with_table(text: str, made: str, where: Path) -> str:
    """A text with what stands between the two marks replaced.

    Raises:
        FormatError: The marks are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise FormatError(
            "no place for the table of results", where=where, expected=f"{BEGIN} {END}"
        )
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args(argv)

    def run() -> int:
        file = REPOSITORY / "README.md"
        old = file.read_text(encoding="utf-8")
        new = with_table(old, table(REPOSITORY / "results"), file)
        if not args.check:
            with atomic_write(file) as target:
                target.write(new)
        stale = old != new
        print("stale" if stale and args.check else "up to date")
        return 1 if stale and args.check else 0

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
