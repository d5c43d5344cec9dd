"""Choose the weights of language models on the selection set, never on a test set.

    python -m espnet_ext.bin.tune_scales --nbest_dir EXP/decode_.../dev \\
        --data_dir data/dev --lm_train_config LM/config.yaml --lm_file LM/ave.pth \\
        --asr_train_config EXP/config.yaml --asr_model_file EXP/ave.pth \\
        --ilm_type zero \\
        --grid lm_weight=0:1:0.1 ilm_weight=0:0.6:0.1 penalty=-1,0,1 \\
        --inference_config conf/decode_beam12.yaml --output conf/decode_tuned.yaml

Writes the decoding configuration with the chosen weights and, beside it, a table
(.tsv) of all combinations. The n-best lists may have been decoded with some of the
models: ``decoding.json`` beside them has the weights.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import yaml

from espnet_ext.errors import OptionError, run_main
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.inference.fusion import (
    SIGNS,
    FusionOptions,
    add_fusion_options,
    build_scorers,
)
from espnet_ext.inference.nbest import NbestLists, read_nbest, score_lists
from espnet_ext.inference.recognizer import add_recognizer_options, load_recognizer
from espnet_ext.inference.scale_tuning import (
    best_point,
    parse_grid,
    refuse_test_set,
    tune,
)

FIRST_PASS_FILE = "decoding.json"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Tune scales on the selection set")
    parser.add_argument("--nbest_dir", type=Path, required=True, help="decoded set")
    parser.add_argument("--data_dir", type=Path, required=True, help="its references")
    parser.add_argument("--grid", nargs="+", required=True, help="NAME=FIRST:LAST:STEP")
    parser.add_argument("--inference_config", type=Path, help="configuration to extend")
    parser.add_argument("--output", type=Path, required=True, help=".yaml to write")
    add_recognizer_options(parser, required=True)
    add_fusion_options(parser)
    return parser


def first_pass_weights(folder: Path) -> Dict[str, float]:
    """Weights with which n-best lists were decoded, with their signs.

    Raises:
        OptionError: It is not known.
    """
    for place in (folder, folder.parent):
        path = place / FIRST_PASS_FILE
        if path.is_file():
            weights = json.loads(path.read_text(encoding="utf-8"))["weights"]
            return {name: SIGNS[name] * value for name, value in weights.items()}
    raise OptionError(
        f"there is no {FIRST_PASS_FILE}, so it is not known which language models "
        "the scores contain",
        where=folder,
        next_step="decode with espnet_ext.bin.asr_inference, which writes it",
    )


def scored_lists(
    lists: NbestLists, args: argparse.Namespace, options: FusionOptions
) -> tuple:
    """Lists scored by the models that are named, and the options of their weights.

    Raises:
        OptionError: The lists contain scores of a model that is not named.
    """
    recognizer = load_recognizer(
        args.asr_train_config, args.asr_model_file, args.device
    )
    scorers = build_scorers(
        options,
        recognizer.tokens,
        recognizer.model.decoder,
        recognizer.encoder_size,
        args.device,
    )
    names = [fused.option for fused in scorers]
    first_pass = first_pass_weights(args.nbest_dir)
    for name, weight in first_pass.items():
        if weight and name not in names:
            raise OptionError(
                f"the lists were decoded with {name} {abs(weight):g}",
                where=args.nbest_dir,
                expected="the files of that model, so that its score can be taken out",
            )
    return score_lists(lists, scorers, first_pass), scorers


def references_of(data_dir: Path) -> Dict[str, str]:
    """Texts of a data directory by utterance."""
    rows = (line.partition(" ") for line in read_lines(data_dir / "text"))
    return {key: text for key, _, text in rows}


def choose(cmd: Optional[Sequence[str]] = None) -> int:
    """Tune, then write the configuration and the table."""
    args = get_parser().parse_args(cmd)
    refuse_test_set(args.data_dir)
    refuse_test_set(args.nbest_dir)
    options = FusionOptions.of(vars(args))
    grid = parse_grid(args.grid)
    references = references_of(args.data_dir)
    lists, scorers = scored_lists(read_nbest(args.nbest_dir), args, options)
    names = [fused.option for fused in scorers]
    unknown = sorted(set(grid) - set(names))
    if unknown:
        raise OptionError(
            f"there is no model for {unknown[0]}",
            where="--grid",
            expected=f"one of {', '.join(names)}",
        )
    # what the grid does not name keeps its weight
    given = options.weights()
    grid = {name: grid.get(name, [given[name]]) for name in names}
    points, words = tune(lists, references, names, grid)
    best = best_point(points)
    table = args.output.with_suffix(".tsv")
    with atomic_write(table) as file:
        file.write("\t".join([*names, "errors", "words", "wer"]) + "\n")
        for point in points:
            row = [f"{weight:g}" for weight in point.weights]
            wer = f"{100.0 * point.errors / max(words, 1):.2f}"
            file.write("\t".join([*row, str(point.errors), str(words), wer]) + "\n")
    chosen = dict(zip(names, best.weights))
    write_config(args.output, args.inference_config, options, chosen)
    at_edge = [n for n, w in chosen.items() if len(grid[n]) > 2 and w == max(grid[n])]
    rate = 100.0 * best.errors / max(words, 1)
    print(f"{args.output}: {chosen}")
    print(f"{rate:.2f} % word errors on {args.data_dir}; all {len(points)}: {table}")
    for name in at_edge:
        print(f"{name}: the best value is the largest of the grid; try larger ones")
    return 0


def write_config(
    path: Path,
    base: Optional[Path],
    options: FusionOptions,
    weights: Dict[str, float],
) -> None:
    """A decoding configuration with the models' files and these weights."""
    config: Dict[str, Any] = {}
    if base is not None:
        config = yaml.safe_load("\n".join(read_lines(base))) or {}
    files = {
        name: value
        for name, value in vars(options).items()
        if value is not None and not isinstance(value, float)
    }
    config.update(files)
    config.update(weights)
    with atomic_write(path) as file:
        file.write("# Weights chosen by espnet_ext.bin.tune_scales.\n")
        yaml.safe_dump(config, file, sort_keys=False)


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: choose(cmd))


if __name__ == "__main__":
    sys.exit(main())
