"""``espnet-ext data prepare``: options of the data preparation."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Dict, Tuple

from espnet_ext.corpus.check import check_releases
from espnet_ext.corpus.concatenation import COUNTS
from espnet_ext.corpus.corpora import RELEASES, SWBD_TRANS, roots_below
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.corpus.prepare import STAGES, prepare
from espnet_ext.corpus.settings import RATE_HZ, Settings
from espnet_ext.corpus.shards import KINDS, Cluster
from espnet_ext.corpus.splits import SPLITS
from espnet_ext.errors import OptionError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option a release, and one a setting."""
    where = parser.add_argument_group("where the releases are (empty: not owned)")
    where.add_argument("--root", help="folder that holds LDC97S62, LDC2002S09, ...")
    for key, release in RELEASES.items():
        where.add_argument(f"--{key}", help=f"{release.catalogue}: {release.purpose}")
    where.add_argument(
        f"--{SWBD_TRANS}", help="MS98 transcripts, if they are not below --swbd"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what is there; write nothing"
    )
    parser.add_argument("--data_dir", default="data", help="results (default: data)")
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--stop_stage", type=int, default=max(STAGES))
    text = parser.add_argument_group("text")
    text.add_argument("--profile", choices=list(PROFILES), default=Settings.profile)
    text.add_argument("--noise_tags", choices=["remove", "upper", "lower"])
    text.add_argument("--acronyms", choices=["letters", "dotted", "fisher", "joined"])
    sets = parser.add_argument_group("sets")
    sets.add_argument("--split", choices=["auto", *SPLITS], default="auto")
    sets.add_argument("--valid_list", help="file of conversations for dev")
    sets.add_argument("--dev_utterances", type=int, help="size of the selection set")
    sets.add_argument(
        "--held_out_utterances", type=int, help="not trained on (--split rwth)"
    )
    sets.add_argument("--max_same_text", type=int, help="0: no limit")
    sets.add_argument("--extend_eval_s", type=float, default=0.0)
    sets.add_argument(
        "--concat",
        default="",
        help="also evaluation sets with so many segments joined: '1,2,4' or 'all' "
        f"({','.join(map(str, COUNTS))})",
    )
    sets.add_argument("--rate_hz", type=int, default=RATE_HZ, help="of all audio")
    work = parser.add_argument_group("where the work is done (changes no result)")
    work.add_argument("--nj", type=int, default=0, help="workers (0: as is worth it)")
    work.add_argument("--shards", type=int, default=0, help="parts of the work")
    work.add_argument("--cluster", choices=KINDS, default="local")
    work.add_argument(
        "--slurm_opts",
        default="",
        help="'queue=short account=me memory=4GB walltime=02:00:00 extra=--qos=low'",
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the summary."""
    chosen = {field.name: getattr(args, field.name) for field in fields(Settings)}
    settings = Settings(**{**chosen, "concat": counts(args.concat)})
    for name in ("nj", "shards"):
        if getattr(args, name) < 0:
            raise OptionError(f"--{name} {getattr(args, name)}", expected="at least 0")
    cluster = Cluster(args.cluster, args.nj, args.shards, args.slurm_opts)
    roots = given_roots(args)
    if args.check:
        return check_releases(roots, settings, cluster)
    report = prepare(
        roots,
        Path(args.data_dir),
        settings=settings,
        cluster=cluster,
        stage=args.stage,
        stop_stage=args.stop_stage,
    )
    print("\n".join(report.lines()))
    return 0


def counts(text: str) -> Tuple[int, ...]:
    """``1,2,4`` or ``all`` as numbers of segments to join.

    Raises:
        OptionError: Something else.
    """
    if text == "all":
        return COUNTS
    words = text.replace(",", " ").split()
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise OptionError(
            f"--concat {text!r}", expected="whole numbers from 1, or 'all'"
        )
    return tuple(sorted({int(word) for word in words}))


def given_roots(args: argparse.Namespace) -> Dict[str, Path]:
    """Folders by release; a single option wins over what lies below --root."""
    roots = roots_below(Path(args.root)) if args.root else {}
    for key in [*RELEASES, SWBD_TRANS]:
        if getattr(args, key):
            roots[key] = Path(getattr(args, key))
    return roots
