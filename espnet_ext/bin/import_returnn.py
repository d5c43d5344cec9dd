"""Make an experiment directory of a model that the original program trained.

python -m espnet_ext.bin.import_returnn --checkpoint epoch.150 \
    --experiment start --vocabulary trans.bpe.vocab --out exp/start_imported
"""

import argparse
import sys
from typing import Optional, Sequence

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description="Load the parameters of an original experiment into our model and "
        "write a directory that espnet_ext.bin.asr_inference decodes with. Parameters "
        "that are unused, missing or of another shape are errors."
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="TensorFlow checkpoint (epoch.150, or one of its files), or .npz of names "
        "and arrays",
    )
    parser.add_argument("--experiment", required=True, help="name, for example start")
    parser.add_argument("--out", required=True, help="directory to write")
    parser.add_argument(
        "--vocabulary",
        help="labels of the original without blank: one a line, or its dictionary of "
        "label and id (default: placeholders)",
    )
    parser.add_argument(
        "--bos",
        type=int,
        default=0,
        help="original label that begins a sentence (default: 0)",
    )
    return parser


def import_(args: argparse.Namespace) -> int:
    """Write the directory and say what it holds."""
    from espnet_ext.interop.returnn_import import (
        MODEL_FILE,
        import_model,
        read_labels,
    )

    labels = read_labels(args.vocabulary) if args.vocabulary else None
    reference = import_model(
        args.checkpoint, args.experiment, args.out, labels, args.bos
    )
    count = sum(p.numel() for p in reference.model.parameters())
    print(f"{args.out}: {len(reference.rules)} arrays, {count:,} parameters of ours")
    print(
        f"decode: python -m espnet_ext.bin.asr_inference "
        f"--asr_train_config {args.out}/config.yaml "
        f"--asr_model_file {args.out}/{MODEL_FILE} "
        f"--config {reference.experiment.resolved.inference_config} ..."
    )
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(cmd)
    return run_main(lambda: import_(args))


if __name__ == "__main__":
    sys.exit(main())
