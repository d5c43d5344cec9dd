"""``espnet-ext ctm``: words of a decoded set with their times and confidences."""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from espnet_ext.analysis.ctm import WORD_RULES, make_ctm, write_ctm
from espnet_ext.errors import MissingInputError, run_main


def get_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="espnet-ext ctm",
        description="Write a CTM of a decoded set: FILE CHANNEL START DURATION WORD "
        "CONFIDENCE, times in seconds from the beginning of the recording.",
    )
    parser.add_argument("--data", type=Path, required=True, help="its data directory")
    parser.add_argument(
        "--decoded", type=Path, required=True, help="EXP/DECODE/SET of stage 12"
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--word_rules", choices=WORD_RULES, default="rwth")
    return parser


def make(argv: Optional[Sequence[str]] = None) -> int:
    """Write the file.

    Raises:
        MissingInputError: The search that decoded the set knows no times.
    """
    args = get_parser().parse_args(argv)
    times = args.decoded / "word_times"
    if not times.is_file():
        raise MissingInputError(
            "there are no times of words",
            where=times,
            expected="a set that a time-synchronous search of espnet_ext decoded",
        )
    words = make_ctm(args.data, args.decoded / "text", args.word_rules, times)
    write_ctm(words, args.output)
    print(f"{args.output}: {len(words)} words")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: make(argv))


if __name__ == "__main__":
    sys.exit(main())
