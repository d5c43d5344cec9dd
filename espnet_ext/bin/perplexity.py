"""Perplexity of a text, a token and a word, by every model that a decoding would use.

    python -m espnet_ext.bin.perplexity --text data/dev/text \\
        --asr_train_config EXP/config.yaml --asr_model_file EXP/ave.pth \\
        --lm_train_config LM/config.yaml --lm_file LM/ave.pth --ilm_type zero

The text is cut as the recognizer's. Language models of text score sentence ends, and
each end counts as a token and a word; the internal language model has none.
"""

import argparse
import json
import sys
from typing import Dict, List, Optional, Sequence

from espnet_ext.errors import MissingInputError, run_main
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.inference.fusion import (
    FusionOptions,
    add_fusion_options,
    build_scorers,
)
from espnet_ext.inference.recognizer import add_recognizer_options, load_recognizer
from espnet_ext.inference.sequence_scores import TextScore, sequence_scores

WITHOUT_ENDS = ("ilm_weight",)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Perplexity of a text")
    parser.add_argument("--text", required=True, help="utterance id first")
    parser.add_argument("--json", help="write the numbers to this file as well")
    add_recognizer_options(parser, required=True)
    add_fusion_options(parser)
    return parser


def measure(cmd: Optional[Sequence[str]] = None) -> int:
    """Print a line a model."""
    args = get_parser().parse_args(cmd)
    recognizer = load_recognizer(
        args.asr_train_config, args.asr_model_file, args.device
    )
    cut = recognizer.tokenizer()
    texts = [line.partition(" ")[2].split() for line in read_lines(args.text)]
    texts = [words for words in texts if words]
    if not texts:
        raise MissingInputError("the text has no words", where=args.text)
    labels: List[List[int]] = [cut(" ".join(words)) for words in texts]
    scorers = build_scorers(
        FusionOptions.of(vars(args)),
        recognizer.tokens,
        recognizer.model.decoder,
        recognizer.encoder_size,
        args.device,
    )
    result: Dict[str, Dict[str, float]] = {}
    print(f"{args.text}: {len(texts)} sentences, {sum(map(len, texts))} words")
    for fused in scorers:
        if fused.option == "penalty":
            continue
        ends = fused.option not in WITHOUT_ENDS
        end = len(recognizer.tokens) - 1 if ends else None
        score = TextScore(
            sum(sequence_scores(fused.scorer, labels, end)),
            len(texts),
            sum(map(len, labels)),
            sum(map(len, texts)),
            ends,
        )
        name = fused.option.removesuffix("_weight")
        result[name] = {"per_token": score.per_token, "per_word": score.per_word}
        note = "" if ends else " (without sentence ends)"
        print(
            f"{name}: {score.per_token:.2f} a token, {score.per_word:.2f} a word{note}"
        )
    if args.json:
        with atomic_write(args.json) as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: measure(cmd))


if __name__ == "__main__":
    sys.exit(main())
