"""``espnet-ext score``: score the decoded sets of any ESPnet experiment directory."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from espnet_ext.analysis.score import SCORERS, score_experiment
from espnet_ext.errors import MissingInputError, OptionError, ToolMissingError, run_main

MODEL_SUFFIX = ".model"


def get_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="espnet-ext score",
        description="Score hypotheses (EXP/DECODE/SET/text) against DATA/SET and write "
        "RESULTS.md, results.csv and index.html into EXP. Sets with stm and glm are "
        "scored by NIST's rules as well.",
    )
    parser.add_argument("--exp", required=True, help="experiment directory")
    parser.add_argument("--data", required=True, help="folder of data directories")
    parser.add_argument("--sets", required=True, help='names: "hub5e_00 rt03s"')
    parser.add_argument(
        "--decode", help="decode directory inside EXP; not needed if there is just one"
    )
    parser.add_argument("--scorer", choices=SCORERS, default="auto")
    parser.add_argument(
        "--bpemodel", help="sentencepiece model, for the token error rate"
    )
    parser.add_argument("--note", default="", help="an honest line about the data")
    parser.add_argument("--worst", type=int, default=10, help="utterances to show")
    parser.add_argument("--seed", type=int, default=1, help="seed of the intervals")
    return parser


def find_decode_dir(exp_dir: Path, test_sets: Sequence[str]) -> str:
    """The only directory of an experiment that holds hypotheses of the sets.

    Raises:
        MissingInputError: There is none.
        OptionError: There are several.
    """
    found = sorted(
        path.name
        for path in (exp_dir.iterdir() if exp_dir.is_dir() else ())
        if any((path / name / "text").is_file() for name in test_sets)
    )
    if not found:
        raise MissingInputError(
            f"no hypotheses of {', '.join(test_sets)}",
            where=exp_dir,
            expected="DECODE/SET/text",
            next_step="decode first (stage 12)",
        )
    if len(found) > 1:
        raise OptionError(
            f"{len(found)} decode directories: {', '.join(found)}",
            where=exp_dir,
            next_step=f"--decode {found[0]}",
        )
    return found[0]


def load_tokenizer(path: Optional[str]) -> Optional[Callable[[str], List[str]]]:
    """The tokenizer of a sentencepiece model; None without a path.

    Raises:
        MissingInputError: There is no such file.
        ToolMissingError: sentencepiece is not installed.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise MissingInputError("no such sentencepiece model", where=path)
    try:
        import sentencepiece
    except ImportError:
        raise ToolMissingError(
            "sentencepiece is not installed", next_step="pip install sentencepiece"
        ) from None
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return lambda text: processor.encode(text, out_type=str)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)

    def run() -> None:
        options = get_parser().parse_args(argv)
        exp_dir, test_sets = Path(options.exp), options.sets.split()
        decode = options.decode or find_decode_dir(exp_dir, test_sets)
        score_experiment(
            exp_dir,
            decode,
            options.data,
            test_sets,
            scorer=options.scorer,
            tokenize=load_tokenizer(options.bpemodel),
            provenance={"command": shlex.join(["espnet-ext", "score", *argv])},
            note=options.note,
            worst=options.worst,
            bootstrap_seed=options.seed,
        )
        print(f"report: {exp_dir / 'index.html'}")

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
