"""A random transducer as a training leaves it, small enough for every test."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
import yaml

from espnet_ext.tasks.asr import TransducerTask

TOKENS = ["<blank>", "▁a", "▁b", "c", "<unk>", "<sos/eos>"]
RATE_HZ = 8000
CONFORMER = {
    "frontend": {"type": "conv", "conv_channels": [2, 3]},
    "num_layers": 2,
    "model_size": 8,
    "feed_forward_size": 8,
    "num_heads": 2,
    "conv_kernel_size": 3,
    "padding": "zero",
}
GAMMATONE = {"fs": RATE_HZ, "channels": 10}
LOG_MEL = {"fs": RATE_HZ, "n_fft": 256, "hop_length": 80, "n_mels": 10}


class Saved(NamedTuple):
    """A model and its two files."""

    model: torch.nn.Module
    config: Path
    weights: Path

    def files(self) -> dict:
        """Arguments of Speech2Text."""
        return {
            "asr_train_config": str(self.config),
            "asr_model_file": str(self.weights),
        }

    def options(self) -> list:
        """The same on a command line."""
        return [word for k, v in self.files().items() for word in (f"--{k}", v)]


def saved_model(folder, encoder=None, spread=4.0, **changed) -> Saved:
    """Configuration and weights; the decoder's are scaled, so that it emits labels."""
    folder = Path(folder)
    arguments = TransducerTask.get_parser().parse_args(
        ["--output_dir", str(folder), "--token_type", "char"]
    )
    joint = {"readout_size": 8, "attention": {"key_size": 3}}
    values = {
        **vars(arguments),
        "token_list": TOKENS,
        "frontend": "gammatone",
        "frontend_conf": GAMMATONE,
        "specaug": None,
        "normalize": None,
        "normalize_conf": {},
        "encoder": "staged_conformer",
        "encoder_conf": {**CONFORMER, **(encoder or {})},
        "decoder": "lstm_transducer",
        "decoder_conf": {"embedding_size": 3, "hidden_size": 4, "joint": joint},
        "model": "full_sum_transducer",
        "model_conf": {},
        **changed,
    }
    torch.manual_seed(0)
    model = TransducerTask.build_model(argparse.Namespace(**values))
    with torch.no_grad():
        if model.decoder is not None:
            for parameter in model.decoder.parameters():
                parameter.mul_(spread)
            joint = getattr(model.decoder, "joint_network", None)
            if joint is not None:  # whatever the draw: there are labels, and blanks
                joint.emission_output.bias.fill_(4.0)
    config, weights = folder / "config.yaml", folder / "model.pth"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    torch.save(model.state_dict(), weights)
    return Saved(model.eval(), config, weights)


def noise(samples: int, seed: int = 1) -> np.ndarray:
    """White noise as float32."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, samples).astype(np.float32)


def write_wavs(folder, **samples: int) -> Path:
    """Noise of so many samples by utterance id; returns wav.scp."""
    lines = []
    for seed, (key, count) in enumerate(samples.items()):
        path = Path(folder) / f"{key}.wav"
        soundfile.write(path, noise(count, seed), RATE_HZ)
        lines.append(f"{key} {path}\n")
    scp = Path(folder) / "wav.scp"
    scp.write_text("".join(lines), encoding="utf-8")
    return scp
