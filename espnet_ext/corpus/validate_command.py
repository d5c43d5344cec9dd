"""``espnet-ext data validate``: check data directories, ours or anybody's."""

import argparse
import sys
from pathlib import Path

from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import EXIT_USER_ERROR, OptionError, UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Directories, and how strict to be."""
    parser.add_argument("directories", nargs="+", metavar="DIR")
    parser.add_argument("--rate", type=int, help="expected sampling rate in Hz")
    parser.add_argument(
        "--no_audio", action="store_true", help="check the text files only"
    )
    parser.add_argument(
        "--max_bad_percent",
        type=float,
        default=0.5,
        help="tolerated share of bad utterances (default: 0.5)",
    )
    parser.add_argument(
        "--list", metavar="FILE", help="all problems (default: DIR.problems.txt)"
    )


def run(args: argparse.Namespace) -> int:
    """Check all directories; 1 if any is unfit."""
    if args.list and len(args.directories) > 1:
        raise OptionError("--list takes one directory at a time")
    status = 0
    for directory in args.directories:
        folder = Path(directory)
        # beside the directory: a file in it would count as a change of its content
        listed = Path(args.list or folder.with_name(f"{folder.name}.problems.txt"))
        if not args.list:
            listed.unlink(missing_ok=True)
        try:
            found = validate_data_dir(
                folder,
                check_audio=not args.no_audio,
                rate=args.rate,
                max_bad_percent=args.max_bad_percent,
                list_file=listed,
            )
        except UserError as error:
            print(f"error: {error.message()}", file=sys.stderr)
            status = EXIT_USER_ERROR
            continue
        for problem in found.problems:
            print(f"warning: {problem}")
        print(
            f"{directory}: {found.utterances:,} utterances, {found.recordings:,} "
            f"recordings, {found.speakers:,} speakers, {found.hours:.2f} h: valid"
        )
    return status
