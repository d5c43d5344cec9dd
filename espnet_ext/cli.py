"""The console command ``espnet-ext``: one table of verbs, each imported when used."""

import importlib
import sys
from typing import Dict, List, NamedTuple, Optional

from espnet_ext.errors import OptionError, run_main
from espnet_ext.names import nearest


class Verb(NamedTuple):
    """Where a verb lives: ``module.main(argv) -> exit status``, and what it is for."""

    module: str
    help: str


VERBS: Dict[str, Verb] = {
    "doctor": Verb("espnet_ext.doctor", "check this installation and say what works"),
    "data": Verb("espnet_ext.corpus.cli", "make, prepare and validate corpora"),
    "exp": Verb("espnet_ext.experiments.cli", "list, show, compare, check experiments"),
    "recipe": Verb("espnet_ext.recipe.cli", "run stages 1-14 (what run.sh calls)"),
    "ctm": Verb("espnet_ext.analysis.ctm_command", "words of a decoded set with times"),
    "score": Verb("espnet_ext.analysis.cli", "score hypotheses and write the report"),
}


def usage() -> str:
    """The help screen: one line a verb."""
    lines = ["usage: espnet-ext VERB [options]   (espnet-ext VERB --help for more)", ""]
    lines += [f"  {name:8} {verb.help}" for name, verb in VERBS.items()]
    return "\n".join(lines)


def dispatch(argv: List[str]) -> int:
    """Run one verb with its options and return its exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        from espnet_ext import __version__

        print(f"espnet-ext {__version__}")
        return 0
    if argv[0] not in VERBS:
        raise OptionError(
            f"unknown verb {argv[0]!r}",
            expected=", ".join(VERBS),
            next_step=f"espnet-ext {nearest(argv[0], VERBS) or '--help'}",
        )
    return importlib.import_module(VERBS[argv[0]].module).main(argv[1:])


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point of the console command."""
    return run_main(lambda: dispatch(sys.argv[1:] if argv is None else argv))
