"""Make the file that ``--ilm_type average`` or ``mini_lstm`` needs.

    python -m espnet_ext.bin.internal_lm average --asr_train_config EXP/config.yaml \\
        --asr_model_file EXP/valid.loss.ave.pth --wav_scp data/dev/wav.scp \\
        --output EXP/average.safetensors
    python -m espnet_ext.bin.internal_lm mini_lstm ... --train_text data/train/text \\
        --dev_text data/dev/text --output EXP/mini_lstm.safetensors
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

import torch

from espnet_ext.asr.search.internal_lm import InternalLm
from espnet_ext.errors import MissingInputError, run_main
from espnet_ext.files import read_lines
from espnet_ext.inference.internal_lm_files import (
    new_mini_lstm,
    save_average,
    save_mini_lstm,
)
from espnet_ext.inference.mini_lstm_training import MiniLstmOptions, train_mini_lstm
from espnet_ext.inference.recognizer import (
    Recognizer,
    add_recognizer_options,
    labels_of_text,
    load_recognizer,
)
from espnet_ext.layers.corpus_mvn import utterances_are

DEFAULTS = MiniLstmOptions()


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Internal language model of a model")
    kinds = parser.add_subparsers(dest="kind", required=True)
    average = kinds.add_parser("average", help="mean of the encoder's output")
    add_recognizer_options(average, required=True)
    average.add_argument("--wav_scp", required=True, help="lines 'id audio-file'")
    average.add_argument("--max_utterances", type=int, default=500)
    average.add_argument("--output", type=Path, required=True, help=".safetensors")
    mini = kinds.add_parser("mini_lstm", help="small LSTM trained on transcripts")
    add_recognizer_options(mini, required=True)
    mini.add_argument("--train_text", required=True, help="utterance id first")
    mini.add_argument("--dev_text", required=True, help="decides on the epoch")
    mini.add_argument("--hidden_size", type=int, default=50)
    mini.add_argument("--epochs", type=int, default=DEFAULTS.epochs)
    mini.add_argument("--batch_size", type=int, default=DEFAULTS.batch_size)
    mini.add_argument("--learning_rate", type=float, default=DEFAULTS.learning_rate)
    mini.add_argument("--seed", type=int, default=DEFAULTS.seed)
    mini.add_argument("--output", type=Path, required=True, help=".safetensors")
    return parser


@torch.no_grad()
def average_frame(
    recognizer: Recognizer, recordings: Sequence[Sequence[str]]
) -> torch.Tensor:
    """Mean encoder output [D] over all frames of recordings: (utterance id, path)."""
    import soundfile

    total, frames = torch.zeros(recognizer.encoder_size, dtype=torch.float64), 0
    device = next(recognizer.model.parameters()).device
    for key, path in recordings:
        samples, _ = soundfile.read(path, dtype="float32")
        speech = torch.from_numpy(samples).unsqueeze(0).to(device)
        lengths = torch.tensor([speech.size(1)], device=device)
        with utterances_are(recognizer.model, [key]):
            frames_BTD, lengths_B = recognizer.model.encode_frames(speech, lengths)
        count = int(lengths_B[0])
        total += frames_BTD[0, :count].double().sum(0).cpu()
        frames += count
    if frames == 0:
        raise MissingInputError(
            "the audio has no frames", where=[p for _, p in recordings[:1]]
        )
    return (total / frames).float()


def make(cmd: Optional[Sequence[str]] = None) -> int:
    """Make the file that was asked for."""
    args = get_parser().parse_args(cmd)
    recognizer = load_recognizer(
        args.asr_train_config, args.asr_model_file, args.device
    )
    if args.kind == "average":
        lines = read_lines(args.wav_scp)[: args.max_utterances]
        recordings = [line.split(maxsplit=1) for line in lines]
        save_average(average_frame(recognizer, recordings), args.output)
        print(f"{args.output}: mean encoder frame of {len(recordings)} recordings")
        return 0
    torch.manual_seed(args.seed)
    decoder = recognizer.model.decoder
    frames = new_mini_lstm(decoder, recognizer.encoder_size, args.hidden_size)
    model = InternalLm(decoder, frames.to(args.device))
    options = MiniLstmOptions(
        args.epochs, args.batch_size, args.learning_rate, args.seed
    )
    train = labels_of_text(recognizer, args.train_text)
    dev = labels_of_text(recognizer, args.dev_text)
    history = train_mini_lstm(model, train, dev, options)
    save_mini_lstm(model.frames, args.output)
    shown = " ".join(f"{value:.2f}" for value in history)
    print(f"{args.output}: perplexity a label of {args.dev_text}: {shown}")
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: make(cmd))


if __name__ == "__main__":
    sys.exit(main())
