"""Models of resolved experiments at a size that trains one batch in a moment."""

import copy
from typing import Any, Dict, Mapping

import torch

from espnet_ext.experiments import build
from espnet_ext.experiments.settings import leaves, nested
from espnet_ext.tasks.asr import TransducerTask

LABELS = 12
SHRUNK = {
    **dict.fromkeys(
        "feed_forward_size hidden_size embedding_size key_size".split(), 32
    ),
    **{"model_size": 16, "readout_size": 50},
    **dict.fromkeys("attention_window_size chunk_size".split(), 10),
}


def shrunk(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Sizes divided so that those that differ still do; convolutions of 2 channels."""
    flat = {}
    for path, value in leaves(options):
        name = path.split(".")[-1]
        if name in SHRUNK and isinstance(value, int):
            value = max(value // SHRUNK[name], 1)
        if name == "conv_channels":
            value = [2] * len(value)
        flat[path] = value
    return nested(flat)


def model_parts(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Encoder, decoder and model of a configuration, small, as far as they exist."""
    kept, _ = build.buildable(config)
    for key in ("encoder_conf", "decoder_conf"):
        kept[key] = shrunk(kept[key] or {})
    return kept


def make_model(kept: Mapping[str, Any], seed: int = 1) -> torch.nn.Module:
    """The model with fixed weights, fully grown, in training mode."""
    args = copy.copy(_defaults())
    tokens = ["<blank>", *(f"label{i}" for i in range(1, LABELS)), "<sos/eos>"]
    settings = {
        **kept,
        **{"frontend": None, "specaug": None, "normalize": None, "input_size": 40},
        **{"token_list": tokens, "init": None},
    }
    for key, value in settings.items():
        setattr(args, key, copy.deepcopy(value))
    torch.manual_seed(seed)
    model = TransducerTask.build_model(args)
    if hasattr(model, "set_epoch"):
        model.set_epoch(100)
    return model.train()


_DEFAULTS = []


def _defaults():
    if not _DEFAULTS:
        words = ["--output_dir", "unused"]
        _DEFAULTS.append(TransducerTask.get_parser().parse_args(words))
    return _DEFAULTS[0]


def one_batch(model: torch.nn.Module, seed: int = 2) -> Dict[str, torch.Tensor]:
    """Loss and gradients of one batch of three sequences of random features."""
    generator = torch.Generator().manual_seed(seed)
    speech = torch.randn(3, 120, 40, generator=generator)
    speech_lengths = torch.tensor([120, 100, 70])
    text = torch.randint(1, LABELS, (3, 6), generator=generator)
    text_lengths = torch.tensor([6, 5, 3])
    torch.manual_seed(seed)
    loss, _, _ = model(speech, speech_lengths, text, text_lengths)
    loss.backward()
    values = {"loss": loss.detach()}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            values[name] = parameter.grad
    return values


def same(first: Dict[str, torch.Tensor], second: Dict[str, torch.Tensor]) -> bool:
    """Whether loss and every gradient are equal to the last bit."""
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape
        and torch.equal(first[name], second[name])
        for name in first
    )
