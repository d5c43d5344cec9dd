"""``espnet-ext data embedded``: make the embedded corpus."""

import argparse
import json
from pathlib import Path

from espnet_ext.corpus.embedded.builder import STAMP, build, is_current
from espnet_ext.corpus.embedded.settings import SIZES, Difficulty, Settings
from espnet_ext.errors import OptionError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    easy = Difficulty()
    parser.add_argument("--root", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--size", default="demo", help=f"{' or '.join(SIZES)} (default: demo)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of text, voices and times")
    parser.add_argument("--nj", type=int, default=2, help="processes at a time")
    parser.add_argument("--force", action="store_true", help="build again")
    parser.add_argument(
        "--snr_db",
        type=float,
        nargs=2,
        default=list(easy.snr_db),
        metavar=("LOW", "HIGH"),
        help="range of the signal-to-noise ratio",
    )
    parser.add_argument(
        "--echo_db", type=float, default=easy.echo_db, help="level of the other side"
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=easy.overlap,
        help="share of turns that begin before the other side has ended",
    )


def run(args: argparse.Namespace) -> int:
    """Build, or say that nothing is to do; print what there is."""
    if args.nj < 1:
        raise OptionError(f"--nj {args.nj}", expected="at least 1")
    if args.snr_db[0] > args.snr_db[1]:
        raise OptionError(f"--snr_db {args.snr_db}", expected="LOW before HIGH")
    if not 0 <= args.overlap <= 1:
        raise OptionError(f"--overlap {args.overlap}", expected="from 0 to 1")
    difficulty = Difficulty(
        snr_db=tuple(args.snr_db), echo_db=args.echo_db, overlap=args.overlap
    )
    settings = Settings(args.size, args.seed, difficulty)
    if is_current(args.root, settings) and not args.force:
        print(f"{args.root}: is there already, nothing to do")
    build(
        args.root,
        size=args.size,
        seed=args.seed,
        workers=args.nj,
        force=args.force,
        difficulty=difficulty,
    )
    print(summary(args.root))
    return 0


def summary(root: Path) -> str:
    """A table of what the corpus holds, one line a set."""
    stored = json.loads((root / STAMP).read_text(encoding="utf-8"))
    columns = ("minutes", "calls", "sides", "segments", "words", "word_types")
    lines = ["".join([f"{'set':10}", *(f"{name:>11}" for name in columns)])]
    for name, amounts in stored["amounts"].items():
        lines.append(f"{name:10}" + "".join(f"{amounts[c]:>11}" for c in columns))
    return "\n".join(lines)
