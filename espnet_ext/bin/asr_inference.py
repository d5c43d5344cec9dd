"""Decode: options of ``espnet2.bin.asr_inference`` and more.

    python -m espnet_ext.bin.asr_inference --config conf/decode_beam12.yaml \\
        --asr_train_config EXP/config.yaml --asr_model_file EXP/valid.loss.ave.pth \\
        --data_path_and_name_and_type data/dev/wav.scp,speech,sound --output_dir out

``transducer_conf`` of the configuration holds the options of TimeSyncSearch
(``recombination``, ``bos``). Language models are added and subtracted by the options
of ``espnet_ext.inference.fusion``. Models of other decoders are decoded as ESPnet does.
"""

import argparse
import logging
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
from espnet2.bin import asr_inference as stock
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.dataset import ESPnetDataset
from espnet2.utils.types import str2bool

from espnet_ext.errors import MissingInputError, OptionError, run_main
from espnet_ext.files import read_lines
from espnet_ext.inference.fusion import add_fusion_options
from espnet_ext.inference.loop import check_failures, decode_all
from espnet_ext.inference.results import Results
from espnet_ext.inference.speech2text import Speech2Text
from espnet_ext.inference.word_search import add_word_options
from espnet_ext.progress import report

__all__ = ["Speech2Text", "get_parser", "main"]

# options of the command that are none of Speech2Text's
COMMAND_ONLY = (
    *("config", "output_dir", "ngpu", "seed", "num_workers", "log_level"),
    *("data_path_and_name_and_type", "key_file", "allow_variable_data_keys"),
    *("model_tag", "word_lm_train_config", "word_lm_file", "max_failures"),
)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command: ESPnet's, language models, and a few of our own."""
    parser = stock.get_parser()
    add_fusion_options(parser)
    add_word_options(parser)
    group = parser.add_argument_group("Decoding of many utterances")
    group.add_argument(
        "--max_failures",
        type=int,
        default=0,
        help="utterances that may fail; they get an empty text and are named",
    )
    group.add_argument(
        "--batch_encoder",
        type=str2bool,
        default=False,
        help="encode a batch together: faster on a GPU, but depends on the batch",
    )
    group.add_argument(
        "--chunked",
        type=str2bool,
        default=False,
        help="encode in the windows of training, as a stream is (chunk_size)",
    )
    group.add_argument(
        "--corpus",
        help="normalise all utterances as those of this corpus (corpus_mvn); default: "
        "as their ids say",
    )
    return parser


def utterance_ids(args: argparse.Namespace) -> List[str]:
    """Ids to decode: those of the key file, or of the data.

    Raises:
        MissingInputError: There is none.
    """
    path = args.key_file or args.data_path_and_name_and_type[0][0]
    ids = [line.split(maxsplit=1)[0] for line in read_lines(path) if line.strip()]
    if not ids:
        raise MissingInputError("there is no utterance", where=path)
    return ids


def reader(args: argparse.Namespace) -> Callable[[str], np.ndarray]:
    """A function that reads the samples of an utterance.

    Raises:
        OptionError: The data are not one input called speech.
    """
    names = [name for _, name, _ in args.data_path_and_name_and_type]
    if names != ["speech"]:
        raise OptionError(
            f"inputs {', '.join(names)}",
            where="--data_path_and_name_and_type",
            expected="one: FILE,speech,sound",
        )
    data = ESPnetDataset(args.data_path_and_name_and_type, float_dtype=args.dtype)
    return lambda key: data[key][1]["speech"]


def decode(cmd: Optional[Sequence[str]] = None) -> int:
    """Decode a data set into ``output_dir/{1..n}best_recog``."""
    args = get_parser().parse_args(cmd)
    if args.ngpu > 1 or args.word_lm_train_config:
        raise OptionError(
            "one GPU at most and no language model of words", where="asr_inference"
        )
    logging.basicConfig(
        level=args.log_level,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    set_all_random_seed(args.seed)
    keys, load = utterance_ids(args), reader(args)
    options: Dict[str, Any] = vars(args)
    options = {k: v for k, v in options.items() if k not in COMMAND_ONLY}
    recognizer = Speech2Text.from_pretrained(
        args.model_tag, device="cuda" if args.ngpu else "cpu", **options
    )
    results = Results(args.output_dir)
    try:
        rate_hz = recognizer.shift.rate_hz
    except OptionError:
        rate_hz = 0  # a frontend that only ESPnet knows
    done = decode_all(
        keys, load, recognizer.transcribe, results, args.batch_size, rate_hz
    )
    results.write(
        {
            "weights": recognizer.fusion.weights(),
            "word_weights": recognizer.by_words.weights(),
            "beam_size": args.beam_size,
            "seconds": done.seconds,
            "samples": done.samples,
            "rate_hz": rate_hz,
        }
    )
    report(len(keys), len(keys))
    check_failures(results, args.max_failures)
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: decode(cmd))


if __name__ == "__main__":
    sys.exit(main())
