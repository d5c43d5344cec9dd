"""Loads a recognizer by its two files, with what is needed to read its tokens."""

import argparse
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence

from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.files import read_lines
from espnet_ext.register import register


class Recognizer(NamedTuple):
    """A model in evaluation mode and the arguments it was trained with."""

    model: TransducerModel
    arguments: argparse.Namespace

    @property
    def tokens(self) -> List[str]:
        """Token of each label."""
        return list(self.model.token_list)

    @property
    def encoder_size(self) -> int:
        """Features of an encoder frame."""
        return self.model.encoder.output_size()

    def tokenizer(self) -> Callable[[str], List[int]]:
        """Labels of a text, cut and cleaned as in training."""
        from espnet2.text.build_tokenizer import build_tokenizer
        from espnet2.text.cleaner import TextCleaner
        from espnet2.text.token_id_converter import TokenIDConverter

        args = self.arguments
        cut = build_tokenizer(
            token_type=args.token_type,
            bpemodel=args.bpemodel,
            non_linguistic_symbols=args.non_linguistic_symbols,
            g2p_type=args.g2p,
        )
        clean = TextCleaner(args.cleaner)
        ids = TokenIDConverter(self.tokens)
        return lambda text: ids.tokens2ids(cut.text2tokens(clean(text)))

    def to_text(self) -> Callable[[Sequence[int]], str]:
        """Text of labels, in which word pieces are joined."""
        from espnet2.text.build_tokenizer import build_tokenizer

        args, tokens = self.arguments, self.tokens
        if args.token_type == "bpe" and not args.bpemodel:
            return lambda labels: " ".join(tokens[k] for k in labels)
        join = build_tokenizer(token_type=args.token_type, bpemodel=args.bpemodel)
        return lambda labels: join.tokens2text([tokens[k] for k in labels])


def load_recognizer(config, weights, device: str = "cpu") -> Recognizer:
    """A transducer of ours from its configuration and weights.

    Raises:
        MissingInputError: One of the files does not exist.
        OptionError: It is another kind of model.
    """
    from espnet_ext.tasks.asr import TransducerTask

    register()
    for path in (config, weights):
        if not path or not Path(path).is_file():
            raise MissingInputError(
                "file not found",
                where=path or "--asr_train_config, --asr_model_file",
                expected="configuration and weights of a trained recognizer",
            )
    model, arguments = TransducerTask.build_model_from_file(config, weights, device)
    if not isinstance(model, TransducerModel):
        raise OptionError(
            f"is a {type(model).__name__}", where=config, expected="a transducer"
        )
    return Recognizer(model.eval(), arguments)


def add_recognizer_options(parser: argparse.ArgumentParser, required: bool) -> None:
    """``--asr_train_config``, ``--asr_model_file`` and ``--device``."""
    parser.add_argument(
        "--asr_train_config", required=required, help="config.yaml of the recognizer"
    )
    parser.add_argument("--asr_model_file", required=required, help="its weights")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def labels_of_text(recognizer: Recognizer, path) -> List[List[int]]:
    """Labels of each line ``utterance-id words...`` that has words.

    Raises:
        MissingInputError: No line has words.
    """
    cut = recognizer.tokenizer()
    texts = [line.partition(" ")[2].strip() for line in read_lines(path)]
    sentences = [cut(text) for text in texts if text]
    if not sentences:
        raise MissingInputError("the text has no words", where=path)
    return sentences
