"""``espnet-ext exp VERB ...``: list, show, compare and check experiments by name."""

import argparse
import importlib
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from espnet_ext.corpus.cli import DataParser
from espnet_ext.errors import OptionError
from espnet_ext.experiments.overrides import parse_override

VERBS = {
    "list": "known experiments with the original's error rates",
    "show": "the training configuration of an experiment, and the origin of each value",
    "diff": "what two experiments differ in",
    "check": "every error that needs no data; parameters, growth, learning rates, cost",
    "augment": "a picture of what the experiment's augmentation makes of a recording",
}
DESCRIPTION = (
    "An experiment is a name of tokens joined by _ in any order "
    "(conformer_pre10_d384_h6_blstmf2_specaug), the name of a file in "
    "conf/experiments, or a .yaml file. docs/switches/ explains every token."
)


def usage() -> str:
    """The help screen of ``espnet-ext exp``."""
    lines = ["usage: espnet-ext exp VERB [options]   (VERB --help for more)", ""]
    lines += [f"  {name:8} {text}" for name, text in VERBS.items()]
    return "\n".join([*lines, "", DESCRIPTION, *token_lines()])


def token_lines() -> List[str]:
    """Every token of the catalogue with its meaning, by group."""
    from espnet_ext.experiments.catalogue import load_catalogue

    catalogue = load_catalogue()
    lines: List[str] = []
    for name, group in catalogue.groups.items():
        lines += ["", f"{group.title}: {group.meaning}"]
        for switch in catalogue.switches.values():
            if switch.group == name:
                token = switch.token.replace("{}", "...")
                lines.append(f"  {token:24} {switch.meaning}")
    return lines


def get_parser(verb: str) -> argparse.ArgumentParser:
    """The options of one verb."""
    parser = DataParser(
        prog=f"espnet-ext exp {verb}",
        description=f"{VERBS[verb]}. {DESCRIPTION}",
        allow_abbrev=False,
    )
    parser.add_argument("--conf", type=Path, help="configuration folder (./conf)")
    if verb == "list":
        parser.add_argument(
            "filters",
            nargs="*",
            help="token, switch or part of a name that experiments must have; "
            "!token: must not have",
        )
        sets = ("name", "hub5e_00", "hub5e_01", "rt03s")
        parser.add_argument("--sort", choices=sets, default="name")
        parser.add_argument("--limit", type=int, default=0, help="so many at most")
        return parser
    parser.add_argument("name", help="experiment")
    if verb == "diff":
        parser.add_argument("other", help="experiment to compare with")
    if verb in ("show", "check", "augment"):
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            help="change one value, for example encoder.dropout=0.2; may be repeated",
        )
    if verb == "show":
        parser.add_argument(
            "--plain", action="store_true", help="without the origin of each value"
        )
    if verb == "augment":
        parser.add_argument("--wav", type=Path, required=True, help="a recording")
        parser.add_argument("--output", type=Path, default=Path("augmented.png"))
        parser.add_argument(
            "--batch", type=int, default=10_000, help="training batches seen before"
        )
        parser.add_argument("--seed", type=int, default=1)
    if verb == "check":
        parser.add_argument(
            "--no_model", action="store_true", help="without building it: no torch"
        )
    return parser


def _overrides(texts: Sequence[str]) -> List[Tuple[str, Any]]:
    return [parse_override(text) for text in texts]


def run(verb: str, args: argparse.Namespace) -> int:
    """Run one verb."""
    from espnet_ext.experiments.files import find_conf

    conf = find_conf(args.conf)
    if verb == "list":
        from espnet_ext.experiments.lists import list_screen

        print(list_screen(conf, args.filters, args.sort, args.limit))
        return 0
    if verb == "check":
        from espnet_ext.experiments.check import check_screen

        text, complete = check_screen(
            args.name, _overrides(args.set), conf, not args.no_model
        )
        print(text)
        return 0 if complete else 2
    from espnet_ext.experiments.resolve import resolve

    if verb == "augment":
        from espnet_ext.experiments.augmented_picture import draw

        exp = resolve(args.name, _overrides(args.set), conf)
        print(draw(exp, args.wav, args.output, args.batch, args.seed))
        return 0
    show = importlib.import_module("espnet_ext.experiments.show")
    if verb == "show":
        exp = resolve(args.name, _overrides(args.set), conf)
        print(show.show_screen(exp, not args.plain), end="")
        return 0
    first, second = (resolve(name, (), conf) for name in (args.name, args.other))
    print(show.diff_screen(first, second))
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """Run one verb and return its exit status: 2 if parts are not implemented yet."""
    argv = list(argv or [])
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] not in VERBS:
        from espnet_ext.names import nearest

        raise OptionError(
            f"unknown verb {argv[0]!r}",
            where="espnet-ext exp",
            expected=", ".join(VERBS),
            next_step=f"espnet-ext exp {nearest(argv[0], VERBS) or '--help'}",
        )
    return run(argv[0], get_parser(argv[0]).parse_args(argv[1:]))
