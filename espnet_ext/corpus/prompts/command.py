"""``espnet-ext data prompts``: fetch and prepare the prompts corpus."""

import argparse
from pathlib import Path

from espnet_ext.corpus.prompts.builder import STAMP, build, is_current
from espnet_ext.corpus.whole_folder import read_stamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--root", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("data"),
        help="where prompts_train, prompts_dev and prompts_test go (default: data)",
    )
    parser.add_argument(
        "--deb",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Debian package fetched by hand; give both, instead of downloading",
    )
    parser.add_argument("--force", action="store_true", help="fetch again")


def run(args: argparse.Namespace) -> int:
    """Build, or only write the data sets again; print what there is."""
    if is_current(args.root) and not args.force:
        print(f"{args.root}: is there already, nothing to fetch")
    build(args.root, data_dir=args.data_dir, packages=args.deb, force=args.force)
    print(summary(args.root))
    return 0


def summary(root: Path) -> str:
    """A table of what the corpus holds, one line a set."""
    columns = ("minutes", "prompts", "words", "word_types", "not_in_train")
    lines = [f"{'set':14}" + "".join(f"{column:>13}" for column in columns)]
    for name, amounts in read_stamp(root, STAMP)["amounts"].items():
        lines.append(
            f"prompts_{name:6}" + "".join(f"{amounts[c]:>13}" for c in columns)
        )
    lines.append("one speaker: Allison Smith (CC BY-SA 3.0, see copyright)")
    return "\n".join(lines)
