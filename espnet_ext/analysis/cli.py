"""``espnet-ext score``: score the decoded sets of any ESPnet experiment directory."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from espnet_ext.analysis.ctm import WORD_RULES
from espnet_ext.analysis.score import SCORERS, score_experiment
from espnet_ext.analysis.tokenizer import load_tokenizer, model_of_experiment
from espnet_ext.errors import MissingInputError, OptionError, run_main


def get_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="espnet-ext score",
        description="Score hypotheses (EXP/DECODE/SET/text) against DATA/SET. Writes "
        "RESULTS.md, results.csv and, for the last decode directory, index.html into "
        "EXP. Sets with stm and glm are scored by NIST's rules as well.",
    )
    parser.add_argument("--exp", required=True, help="experiment directory")
    parser.add_argument(
        "--data", default="data", help="folder of data directories (default: data)"
    )
    parser.add_argument(
        "--sets", default="", help='names: "hub5e_00 rt03s" (default: all decoded ones)'
    )
    parser.add_argument(
        "--decode",
        help="decode directory inside EXP, or all; not needed if there is just one",
    )
    parser.add_argument(
        "--scorer",
        choices=SCORERS,
        default="auto",
        help="auto: sclite where installed; both: sclite, checked by the built-in one",
    )
    parser.add_argument(
        "--word_rules",
        choices=WORD_RULES,
        default="kaldi",
        help="kaldi: hesitations and partial words are left out; rwth: scored",
    )
    parser.add_argument(
        "--bpemodel",
        help="sentencepiece model or subword-nmt codes, for the token error rate "
        "(default: the model that EXP/config.yaml names)",
    )
    parser.add_argument("--note", default="", help="an honest line about the data")
    parser.add_argument("--worst", type=int, default=10, help="utterances to show")
    parser.add_argument("--seed", type=int, default=1, help="seed of the intervals")
    return parser


def decoded_sets(decode_dir: Path) -> List[str]:
    """Names of the sets that a decode directory holds hypotheses of."""
    return sorted(path.parent.name for path in decode_dir.glob("*/text"))


def find_decode_dirs(
    exp_dir: Path, wanted: Optional[str], test_sets: Sequence[str]
) -> List[str]:
    """Names of the decode directories to score.

    Args:
        exp_dir: The experiment.
        wanted: A name, "all", or None for the only one there is.
        test_sets: It has to hold hypotheses of one of them (empty: of any set).

    Raises:
        MissingInputError: There is none.
        OptionError: There are several, and none is named.
    """
    if wanted and wanted != "all":
        return [wanted]
    found = sorted(
        path.name
        for path in (exp_dir.iterdir() if exp_dir.is_dir() else ())
        if any((path / n / "text").is_file() for n in test_sets or decoded_sets(path))
    )
    if not found:
        raise MissingInputError(
            f"no hypotheses of {', '.join(test_sets) or 'any set'}",
            where=exp_dir,
            expected="DECODE/SET/text",
            next_step="decode first (stage 12)",
        )
    if len(found) > 1 and not wanted:
        raise OptionError(
            f"{len(found)} decode directories: {', '.join(found)}",
            where=exp_dir,
            next_step=f"--decode {found[0]}, or --decode all",
        )
    return found


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)

    def run() -> None:
        options = get_parser().parse_args(argv)
        exp_dir, test_sets = Path(options.exp), options.sets.split()
        bpemodel = options.bpemodel or model_of_experiment(exp_dir)
        for decode in find_decode_dirs(exp_dir, options.decode, test_sets):
            score_experiment(
                exp_dir,
                decode,
                options.data,
                test_sets or decoded_sets(exp_dir / decode),
                scorer=options.scorer,
                word_rules=options.word_rules,
                tokenize=load_tokenizer(bpemodel) if bpemodel else None,
                provenance={"command": shlex.join(["espnet-ext", "score", *argv])},
                note=options.note,
                worst=options.worst,
                bootstrap_seed=options.seed,
            )
        print(f"report: {exp_dir / 'index.html'}")

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
