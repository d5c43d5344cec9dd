"""Compare a model with arrays of the original program.

python -m espnet_ext.bin.check_parity --experiment start --array start_full.npz
"""

import argparse
import re
import sys
from typing import Optional, Sequence

from espnet_ext.errors import run_main

EXIT_NOT_COMPARED = 2  # as for wrong options; 1 is for quantities that differ


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description="Build the model of an experiment with the sizes and parameters "
        "found in an array file of the original program, and compare everything the "
        "file holds. Exit status 1 if an error is above its limit, 2 if the file "
        "cannot be compared."
    )
    parser.add_argument("--experiment", required=True, help="name, for example start")
    parser.add_argument("--array", required=True, help=".npz file")
    parser.add_argument(
        "--bos",
        type=int,
        help="original label that serves as BOS (default: the last label)",
    )
    parser.add_argument(
        "--sub-epoch",
        type=int,
        help="1-based, for a label smoothing that warms up (default: from a file name "
        "that ends in _eN.npz, else 15 for four layers, else after the warm-up)",
    )
    return parser


def sub_epoch_of(array: str) -> Optional[int]:
    """N of a file name like conf_bn_lsx01b_eN.npz."""
    found = re.search(r"_e(\d+)\.npz$", array)
    return int(found[1]) if found else None


def check(
    experiment: str,
    array: str,
    bos: Optional[int] = None,
    sub_epoch: Optional[int] = None,
) -> int:
    """Print one line a comparison; 0 if all are within their limits, else 1."""
    from espnet_ext.interop.parity_file import ArrayFile, ParityFile
    from espnet_ext.interop.parity_kinds import compare_file
    from espnet_ext.interop.returnn import read_npz

    file = ParityFile(
        experiment, ArrayFile(read_npz(array)), bos, sub_epoch or sub_epoch_of(array)
    )
    comparisons = compare_file(file)
    for comparison in comparisons:
        verdict = "ok" if comparison.passed else "DIFFERENT"
        print(
            f"{comparison.error:10.2e}  (limit {comparison.limit:.0e})  "
            f"{verdict:9}  {comparison.name}"
        )
    failed = sum(not comparison.passed for comparison in comparisons)
    worst = max(comparison.error for comparison in comparisons)
    print(
        f"{experiment}: {len(comparisons)} quantities compared, {failed} different, "
        f"largest error {worst:.2e}"
    )
    return 1 if failed else 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(cmd)
    return run_main(
        lambda: check(args.experiment, args.array, args.bos, args.sub_epoch),
        EXIT_NOT_COMPARED,
    )


if __name__ == "__main__":
    sys.exit(main())
