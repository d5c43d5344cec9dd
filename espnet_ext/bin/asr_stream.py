"""Recognize audio as a stream and print what is decided while it goes on.

    python -m espnet_ext.bin.asr_stream --asr_train_config EXP/config.yaml \\
        --asr_model_file EXP/valid.loss.ave.pth --wav FILE [FILE ...] [--block_ms 200]

The audio is given to the model in blocks, without waiting between them. A line is
printed for each block that adds text, with the time of its end; the last line of a file
has the whole text, and how long the computation took.
"""

import argparse
import sys
import time
from typing import Callable, List, Optional, Sequence

import soundfile
import torch

from espnet_ext.errors import AudioError, MissingInputError, OptionError, run_main
from espnet_ext.inference.latency import frame_shift
from espnet_ext.inference.recognizer import add_recognizer_options, load_recognizer
from espnet_ext.inference.streaming import StreamingRecognizer
from espnet_ext.layers.corpus_mvn import choose_corpus


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description="Recognize a stream")
    add_recognizer_options(parser, required=False)
    parser.add_argument("--model_tag", help="a packed model (.zip) instead")
    parser.add_argument("--wav", nargs="+", required=True, help="audio files")
    parser.add_argument(
        "--corpus", help="whose statistics normalise it (corpus_mvn); default: first"
    )
    parser.add_argument("--block_ms", type=float, default=200.0, help="of each block")
    return parser


def read_audio(path: str, rate_hz: int) -> torch.Tensor:
    """Samples [N] of a file with one channel at the model's rate.

    Raises:
        MissingInputError: There is no such file.
        AudioError: It has another rate, more channels, or is no audio.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        if error.code == 2:  # "system error": it cannot be opened
            raise MissingInputError("cannot be opened", where=path) from None
        raise AudioError(f"cannot be read: {error}", where=path) from None
    if rate != rate_hz or samples.ndim != 1:
        raise AudioError(
            f"{rate} Hz, {1 if samples.ndim == 1 else samples.shape[1]} channels",
            where=path,
            expected=f"{rate_hz} Hz and one channel",
        )
    return torch.from_numpy(samples)


def recognize(
    recognizer: StreamingRecognizer,
    to_text: Callable[[Sequence[int]], str],
    samples_N: torch.Tensor,
    rate_hz: int,
    block_ms: float,
) -> str:
    """Print partial results; returns the whole text."""
    block = max(int(rate_hz * block_ms / 1000), 1)
    labels: List[int] = []
    shown = ""
    for first in range(0, len(samples_N), block):
        piece = samples_N[first : first + block]
        labels += [label for label, _ in recognizer.push(piece)]
        text = to_text(labels)
        if text != shown:
            end_s = min(first + block, len(samples_N)) / rate_hz
            print(f"{end_s:8.2f} s  {text}", flush=True)
            shown = text
    labels += [label for label, _ in recognizer.finish()]
    return to_text(labels)


def stream(cmd: Optional[Sequence[str]] = None) -> int:
    """Recognize all files, one stream after the other."""
    args = get_parser().parse_args(cmd)
    if args.block_ms <= 0:
        raise OptionError(f"--block_ms {args.block_ms}", expected="more than 0")
    config, weights = args.asr_train_config, args.asr_model_file
    if args.model_tag:
        from espnet_ext.interop.packed import unpack_model

        files = unpack_model(args.model_tag)
        config, weights = files["asr_train_config"], files["asr_model_file"]
    loaded = load_recognizer(config, weights, args.device)
    if args.corpus:
        choose_corpus(loaded.model, args.corpus)
    recognizer = StreamingRecognizer(loaded.model)
    shift = frame_shift(loaded.model, loaded.arguments)
    latency = recognizer.latency
    ms = 1000.0 / shift.rate_hz
    print(
        f"latency of the model {latency.samples * ms:.0f} ms: window "
        f"{latency.window_frames} frames and attention {latency.attention_frames} "
        f"frames of {1000 * shift.seconds:.0f} ms, frontend {latency.frontend_frames} "
        f"frames of {shift.samples * ms:.0f} ms, features "
        f"{latency.feature_samples * ms:.0f} ms; blocks add {args.block_ms:.0f} ms"
    )
    for path in args.wav:
        samples = read_audio(path, shift.rate_hz)
        began = time.monotonic()
        text = recognize(
            recognizer, loaded.to_text(), samples, shift.rate_hz, args.block_ms
        )
        factor = (time.monotonic() - began) * shift.rate_hz / max(len(samples), 1)
        print(f"{path}: {text}\n  (real-time factor {factor:.3f})", flush=True)
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: stream(cmd))


if __name__ == "__main__":
    sys.exit(main())
