"""Estimates of internal language models as files, and built by their names."""

from pathlib import Path
from typing import Dict, Optional

import torch

from espnet_ext.asr.search.internal_lm import (
    KINDS,
    FixedFrame,
    InternalLm,
    MiniLstm,
    projected_frame,
    zero_frame,
)
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import atomic_path


def save_average(frame_D: torch.Tensor, path: Path) -> None:
    """Write a mean encoder frame as safetensors."""
    _save({"frame": frame_D.float()}, "average", path)


def save_mini_lstm(model: MiniLstm, path: Path) -> None:
    """Write the weights of a mini-LSTM as safetensors."""
    _save(model.state_dict(), "mini_lstm", path)


def _save(tensors: Dict[str, torch.Tensor], kind: str, path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"kind": kind})


def _load(path: Optional[str], kind: str) -> Dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    if not path:
        raise OptionError(
            "no file is named",
            where=f"--ilm_type {kind}",
            next_step=f"make one: python -m espnet_ext.bin.internal_lm {kind} --help, "
            "then --ilm_file",
        )
    if not Path(path).is_file():
        raise MissingInputError("file not found", where=path)
    try:
        with safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("kind")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise FormatError(f"cannot be read: {error}", where=path) from None
    if found != kind:
        raise OptionError(
            f"holds a model of kind {found}",
            where=path,
            expected=f"--ilm_type {found}, or a file of kind {kind}",
        )
    return tensors


def build_internal_lm(
    kind: str, path: Optional[str], decoder: torch.nn.Module, encoder_size: int
) -> InternalLm:
    """The internal language model of a decoder.

    Args:
        kind: One of KINDS.
        path: File of ``average`` and ``mini_lstm``.
        decoder: Prediction network with its joint.
        encoder_size: Features of an encoder frame.

    Raises:
        OptionError: Unknown kind; no file or another kind of file.
        FormatError: The file is not of this decoder.
    """
    if kind not in KINDS:
        raise OptionError(f"--ilm_type {kind}", expected=f"one of {', '.join(KINDS)}")
    if kind in ("zero", "hat"):
        frame = FixedFrame(zero_frame(decoder, encoder_size))
        return InternalLm(decoder, frame, separate_emission=kind == "hat")
    tensors = _load(path, kind)
    if kind == "average":
        frame_D = tensors["frame"].to(decoder.embedding)
        _check(path, len(frame_D), encoder_size)
        return InternalLm(decoder, FixedFrame(projected_frame(decoder, frame_D)))
    readout, hidden = tensors["output.weight"].shape
    model = new_mini_lstm(decoder, encoder_size, hidden)
    _check(path, readout, model.output.out_features)
    model.load_state_dict(tensors)
    return InternalLm(decoder, model.to(decoder.embedding.device))


def new_mini_lstm(
    decoder: torch.nn.Module, encoder_size: int, hidden_size: int
) -> MiniLstm:
    """A mini-LSTM that fits a decoder; its output begins near the zero encoder's."""
    zero_R = zero_frame(decoder, encoder_size)
    model = MiniLstm(decoder.embedding.size(1), len(zero_R), hidden_size)
    with torch.no_grad():
        model.output.bias.copy_(zero_R)
    return model


def _check(path: Optional[str], found: int, expected: int) -> None:
    if found != expected:
        raise FormatError(
            f"is of a model with size {found}",
            where=path,
            expected=f"size {expected}: make it with this recognizer",
        )
