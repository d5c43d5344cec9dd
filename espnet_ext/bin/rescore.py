"""Choose among n-best hypotheses by other language models than those of the search.

    python -m espnet_ext.bin.rescore --nbest_dir EXP/decode_.../hub5e_00 \\
        --asr_train_config EXP/config.yaml --asr_model_file EXP/ave.pth \\
        --lm_train_config LM/config.yaml --lm_file LM/ave.pth --lm_weight 0.4 \\
        --output_dir EXP/decode_rescored/hub5e_00

The scores of models that the lists were decoded with are taken out first; then every
model named here counts with its weight. ``text``, ``token_int`` and ``score`` of the
best hypotheses are written.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from espnet_ext.bin.tune_scales import FIRST_PASS_FILE, scored_lists
from espnet_ext.errors import run_main
from espnet_ext.files import atomic_write
from espnet_ext.inference.fusion import FusionOptions, add_fusion_options
from espnet_ext.inference.nbest import read_nbest
from espnet_ext.inference.recognizer import add_recognizer_options


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Rescore n-best lists")
    parser.add_argument("--nbest_dir", type=Path, required=True, help="decoded set")
    parser.add_argument("--output_dir", type=Path, required=True)
    add_recognizer_options(parser, required=True)
    add_fusion_options(parser)
    return parser


def rescore(cmd: Optional[Sequence[str]] = None) -> int:
    """Write the best hypotheses under the weights that were given."""
    args = get_parser().parse_args(cmd)
    options = FusionOptions.of(vars(args))
    lists, scorers = scored_lists(read_nbest(args.nbest_dir), args, options)
    weights_K = np.array([fused.weight for fused in scorers])
    changed = 0
    rows = {"text": [], "token_int": [], "score": []}
    for key, scored in sorted(lists.items()):
        number = scored.best(weights_K)
        changed += number != 0
        best = scored.hypotheses[number]
        total = scored.recognizer_N[number] + scored.models_NK[number] @ weights_K
        rows["text"].append(f"{key} {best.text}".rstrip())
        rows["token_int"].append(f"{key} {' '.join(map(str, best.labels))}".rstrip())
        rows["score"].append(f"{key} {total}")
    for name, lines in rows.items():
        with atomic_write(args.output_dir / name) as file:
            file.writelines(line + "\n" for line in lines)
    with atomic_write(args.output_dir / FIRST_PASS_FILE) as file:
        json.dump({"weights": options.weights()}, file, indent=1)
        file.write("\n")
    print(f"{args.output_dir}: {changed} of {len(lists)} utterances have another text")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: rescore(cmd))


if __name__ == "__main__":
    sys.exit(main())
