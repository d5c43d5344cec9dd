"""``espnet-ext data prepare``: options of the data preparation."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Dict

from espnet_ext.corpus.corpora import RELEASES, SWBD_TRANS, roots_below
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.corpus.prepare import STAGES, Settings, prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option a release, and one a setting."""
    where = parser.add_argument_group("where the releases are (empty: not owned)")
    where.add_argument("--root", help="folder that holds LDC97S62, LDC2002S09, ...")
    for key, release in RELEASES.items():
        where.add_argument(f"--{key}", help=f"{release.catalogue}: {release.purpose}")
    where.add_argument(
        f"--{SWBD_TRANS}", help="MS98 transcripts, if they are not below --swbd"
    )
    parser.add_argument("--data_dir", default="data", help="results (default: data)")
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--stop_stage", type=int, default=max(STAGES))
    text = parser.add_argument_group("text")
    text.add_argument("--profile", choices=sorted(PROFILES), default="rwth")
    text.add_argument("--noise_tags", choices=["remove", "upper", "lower"])
    text.add_argument("--acronyms", choices=["letters", "dotted", "fisher", "joined"])
    sets = parser.add_argument_group("sets")
    sets.add_argument("--split", choices=["auto", "list", "kaldi"], default="auto")
    sets.add_argument("--valid_list", help="file of conversations for dev")
    sets.add_argument("--dev_utterances", type=int, default=Settings.dev_utterances)
    sets.add_argument("--max_same_text", type=int, help="0: no limit")
    sets.add_argument("--extend_eval_s", type=float, default=0.0)


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the summary."""
    chosen = {field.name: getattr(args, field.name) for field in fields(Settings)}
    report = prepare(
        given_roots(args),
        Path(args.data_dir),
        settings=Settings(**chosen),
        stage=args.stage,
        stop_stage=args.stop_stage,
    )
    print("\n".join(report.lines()))
    return 0


def given_roots(args: argparse.Namespace) -> Dict[str, Path]:
    """Folders by release; a single option wins over what lies below --root."""
    roots = roots_below(Path(args.root)) if args.root else {}
    for key in [*RELEASES, SWBD_TRANS]:
        if getattr(args, key):
            roots[key] = Path(getattr(args, key))
    return roots
