"""Frame shift of a recognizer: seconds of audio from one encoder frame to the next."""

import argparse
from typing import NamedTuple, Union

import torch

from espnet_ext.errors import OptionError

PROBE_FRAMES = 720  # a multiple of every time reduction there is


class FrameShift(NamedTuple):
    """Samples a feature frame, feature frames an encoder frame, and their product.

    Attributes:
        samples: From one feature frame to the next.
        reduction: Feature frames of an encoder frame.
        rate_hz: Samples a second.
    """

    samples: int
    reduction: int
    rate_hz: int

    @property
    def seconds(self) -> float:
        """From one encoder frame to the next."""
        return self.samples * self.reduction / self.rate_hz


def sampling_rate_hz(value: Union[int, str]) -> int:
    """16000 for 16000, "16k" or "16000"."""
    text = str(value).lower()
    number = float(text.removesuffix("k"))
    return int(number * 1000) if text.endswith("k") else int(number)


def rate_of(model: torch.nn.Module, arguments: argparse.Namespace) -> int:
    """Samples a second that a model was trained with; without ``fs`` the default of its
    frontend, which is another for gammatones than for ESPnet's.
    """
    default = 8000 if hasattr(model.frontend, "span") else 16000
    options = getattr(arguments, "frontend_conf", None) or {}
    return sampling_rate_hz(options.get("fs", default))


@torch.no_grad()
def frame_shift(
    model: torch.nn.Module, arguments: argparse.Namespace, rate_hz: int = 0
) -> FrameShift:
    """Of a model and the arguments it was trained with.

    Raises:
        OptionError: The model has no frontend of which the shift is known.
    """
    frontend = model.frontend
    samples = getattr(frontend, "shift", getattr(frontend, "hop_length", None))
    if samples is None:
        raise OptionError(
            f"the frame shift of frontend {type(frontend).__name__} is not known",
            expected="frontend default or gammatone",
        )
    rate_hz = rate_hz or rate_of(model, arguments)
    device = next(model.parameters()).device
    probe = torch.zeros(1, PROBE_FRAMES, frontend.output_size(), device=device)
    lengths = torch.tensor([PROBE_FRAMES], device=device)
    was_training = model.training
    model.eval()
    frames = int(model.encoder(probe, lengths)[1][0])
    model.train(was_training)
    return FrameShift(samples, PROBE_FRAMES // frames, rate_hz)


def chunk_in_evaluation(encoder: torch.nn.Module) -> None:
    """Let an encoder cut sequences into the windows of training also in evaluation.

    Raises:
        OptionError: It has no windows.
    """
    if not hasattr(encoder, "chunk_in_evaluation"):
        raise OptionError(
            f"{type(encoder).__name__} sees the whole utterance",
            where="--chunked",
            expected="encoder staged_conformer with chunk_size",
        )
    encoder.chunk_in_evaluation()
