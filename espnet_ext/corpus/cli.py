"""``espnet-ext data VERB ...``: make, prepare and validate corpora."""

import argparse
import importlib
from typing import Dict, List, NamedTuple

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest


class SubVerb(NamedTuple):
    """Module with ``add_arguments(parser)`` and ``run(args) -> int``, and its help."""

    module: str
    help: str


SUB_VERBS: Dict[str, SubVerb] = {
    "embedded": SubVerb(
        "espnet_ext.corpus.embedded.command",
        "make the embedded corpus: synthetic speech in the shape of the LDC releases",
    ),
    "prompts": SubVerb(
        "espnet_ext.corpus.prompts.command",
        "fetch and prepare the telephone prompts (real speech, one speaker)",
    ),
    "prepare": SubVerb(
        "espnet_ext.corpus.prepare_command",
        "data directories from the LDC releases or the embedded corpus",
    ),
    "librispeech": SubVerb(
        "espnet_ext.corpus.librispeech", "data directories from LibriSpeech-100 or -960"
    ),
    "timit": SubVerb(
        "espnet_ext.corpus.timit", "data directories from NLTK's sample of TIMIT"
    ),
    "validate": SubVerb("espnet_ext.corpus.validate_command", "check data directories"),
}


def usage() -> str:
    """The help screen of ``espnet-ext data``."""
    lines = ["usage: espnet-ext data VERB [options]   (VERB --help for more)", ""]
    lines += [f"  {name:11} {verb.help}" for name, verb in SUB_VERBS.items()]
    return "\n".join(lines)


def main(argv: List[str]) -> int:
    """Run one sub-verb and return its exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name = argv[0]
    if name not in SUB_VERBS:
        raise OptionError(
            f"unknown verb {name!r}",
            where="espnet-ext data",
            expected=", ".join(SUB_VERBS),
            next_step=f"espnet-ext data {nearest(name, SUB_VERBS) or '--help'}",
        )
    command = importlib.import_module(SUB_VERBS[name].module)
    parser = DataParser(
        prog=f"espnet-ext data {name}",
        description=SUB_VERBS[name].help,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return command.run(parser.parse_args(underscored(argv[1:]))) or 0


def underscored(argv: List[str]) -> List[str]:
    """Option names with ``-`` inside are accepted as with ``_``: ``--data-dir``."""
    result = []
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            option, equals, value = word.partition("=")
            word = "--" + option[2:].replace("-", "_") + equals + value
        result.append(word)
    return result


class DataParser(argparse.ArgumentParser):
    """argparse whose errors are user errors and name the nearest option."""

    def error(self, message: str):
        unknown = [
            word
            for word in message.partition("unrecognized arguments: ")[2].split()
            if word.startswith("--")
        ]
        options = [o for a in self._actions for o in a.option_strings]
        near = nearest(unknown[0].partition("=")[0], options) if unknown else None
        raise OptionError(
            message,
            where=self.prog,
            next_step=f"did you mean {near}?" if near else f"{self.prog} --help",
        )
