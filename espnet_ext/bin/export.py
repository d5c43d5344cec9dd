"""Export a transducer for greedy decoding by torch alone, and check the export.

    python -m espnet_ext.bin.export --asr_train_config EXP/config.yaml \\
        --asr_model_file EXP/valid.loss.ave.pth --output exported [--wav FILE ...]

With ``--wav`` the audio is decoded by the exported programs and by torch, and a
difference is an error.
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence, Tuple

import torch

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.bin.asr_stream import read_audio
from espnet_ext.errors import FormatError, run_main
from espnet_ext.inference.latency import frame_shift
from espnet_ext.inference.recognizer import (
    Recognizer,
    add_recognizer_options,
    load_recognizer,
)
from espnet_ext.interop.export import export_model
from espnet_ext.interop.exported import ExportedRecognizer


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Export by torch.export")
    add_recognizer_options(parser, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--max_frames", type=int, help="feature frames at most (encoders with an LSTM)"
    )
    parser.add_argument("--wav", nargs="*", default=[], help="audio to compare on")
    return parser


@torch.no_grad()
def check(recognizer: Recognizer, folder: Path, wav: str, rate_hz: int) -> str:
    """Text of a file by the exported programs.

    Raises:
        FormatError: torch recognizes something else.
    """
    samples = read_audio(wav, rate_hz)
    exported = ExportedRecognizer(folder)
    labels = exported(samples)
    model = recognizer.model
    am, lengths = encode_padded(model, samples, exported.multiple)
    expected = greedy_search(model.decoder, am, lengths)[0].labels
    if labels != expected:
        raise FormatError(
            f"the exported model recognizes {exported.text(labels)!r}",
            where=wav,
            expected=repr(exported.text(expected)),
        )
    return exported.text(labels)


def encode_padded(
    model: TransducerModel, samples_N: torch.Tensor, multiple: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The model's projected frames [1, M, R] with features padded to a multiple."""
    features, count = model.features(
        samples_N.unsqueeze(0), torch.tensor([len(samples_N)])
    )
    missing = -features.size(1) % multiple
    features = torch.nn.functional.pad(features, (0, 0, 0, missing))
    frames, lengths, _ = model.encoder(features, count)
    return model.joint_network.project_frames(frames, lengths), lengths


def run(cmd: Optional[Sequence[str]] = None) -> int:
    """Export, then compare on the audio that is named."""
    args = get_parser().parse_args(cmd)
    recognizer = load_recognizer(args.asr_train_config, args.asr_model_file)
    shift = frame_shift(recognizer.model, recognizer.arguments)
    facts = {"tokens": recognizer.tokens, "rate_hz": shift.rate_hz}
    export_model(recognizer.model, facts, args.output, shift.reduction, args.max_frames)
    print(f"{args.output}: exported")
    for wav in args.wav:
        print(f"{wav}: {check(recognizer, args.output, wav, shift.rate_hz)} (as torch)")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: run(cmd))


if __name__ == "__main__":
    sys.exit(main())
