"""Experiments as a training leaves them, for the commands that align with a model."""

from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
import soundfile
import torch
import yaml

RATE_HZ = 8000
FRONTEND = {"fs": RATE_HZ, "n_fft": 256, "hop_length": 80, "n_mels": 8}
ENCODER = {
    "conv_channels": [2],
    "conv_feature_pooling": [2],
    "num_layers": 2,
    "hidden_size": 4,
    "time_pooling": [2],
}
TRANSDUCER = {
    "encoder": "conv_blstm",
    "encoder_conf": ENCODER,
    "decoder": "lstm_transducer",
    "decoder_conf": {
        "embedding_size": 4,
        "hidden_size": 4,
        "joint": {"type": "maxout_readout", "readout_size": 8},
    },
    "model": "full_sum_transducer",
    "model_conf": {"ctc_weight": 0.5},
}


def write_model(root: Path, tokens: Sequence[str], **changed):
    """Configuration and random weights of a tiny model; returns the model."""
    from espnet_ext.tasks.asr import TransducerTask

    config = {
        "token_list": list(tokens),
        "token_type": "char",
        "use_preprocessor": True,
        "frontend_conf": FRONTEND,
        "normalize": "utterance_mvn",
        **TRANSDUCER,
        **changed,
    }
    given = root / "given.yaml"
    given.write_text(yaml.safe_dump(config), encoding="utf-8")
    args = TransducerTask.get_parser().parse_args(["--config", str(given)])
    torch.manual_seed(1)
    model = TransducerTask.build_model(args)
    (root / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
    torch.save(model.state_dict(), root / "model.pth")
    return model.eval()


def write_data(root: Path, texts: Dict[str, str], samples: Dict[str, int]) -> None:
    """Noise of so many samples, and the text, by utterance id."""
    generator = np.random.default_rng(1)
    with open(root / "wav.scp", "w", encoding="utf-8") as scp:
        for key in texts:
            noise = generator.uniform(-0.1, 0.1, samples[key])
            soundfile.write(root / f"{key}.wav", noise, RATE_HZ)
            scp.write(f"{key} {root / key}.wav\n")
    text = "".join(f"{key} {line}\n" for key, line in texts.items())
    (root / "text").write_text(text, encoding="utf-8")


def arguments(root: Path, verb: str, *more) -> List[str]:
    """Command line of ``run`` or ``prior`` with this model and data."""
    sources = (f"{root}/wav.scp,speech,sound", f"{root}/text,text,text")
    data = [w for s in sources for w in ("--data_path_and_name_and_type", s)]
    files = ["--asr_train_config", f"{root}/config.yaml"]
    files += ["--asr_model_file", f"{root}/model.pth"]
    return [verb, *files, *data, *map(str, more)]
