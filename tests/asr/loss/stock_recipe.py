"""A stock ESPnet transducer and generated tones to train it on."""

from pathlib import Path
from typing import List

import numpy as np
import soundfile
import yaml

RATE_HZ = 8000
TONES_HZ = {"a": 400.0, "b": 800.0, "c": 1600.0}
TOKENS = ["<blank>", "<unk>", *TONES_HZ, "<sos/eos>"]
SETS = {"train": 6, "valid": 2}
CONFIG = {
    "frontend": "default",
    "frontend_conf": {
        "fs": RATE_HZ,
        "n_fft": 256,
        "win_length": 200,
        "hop_length": 80,
        "n_mels": 20,
    },
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 1,
    },
    "decoder": "transducer",
    "decoder_conf": {"hidden_size": 8},
    "joint_net_conf": {"joint_space_size": 8},
    "model_conf": {"ctc_weight": 0.3, "report_cer": False, "report_wer": False},
    "optim": "adam",
    "optim_conf": {"lr": 0.001},
    "batch_type": "unsorted",
    "batch_size": 3,
    "max_epoch": 1,
    "num_workers": 0,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 1,
}


def make_stock_recipe(folder: Path) -> None:
    """Audio, tables, token list and configuration in ``folder``."""
    rng = np.random.default_rng(1)
    for name, count in SETS.items():
        scp, text = [], []
        for number in range(count):
            key = f"{name[0]}{number}"
            symbols = rng.choice(list(TONES_HZ), 2 + number % 2)
            times = np.arange(int(0.2 * RATE_HZ)) / RATE_HZ
            tones = [np.sin(2 * np.pi * TONES_HZ[s] * times) for s in symbols]
            samples = 0.3 * np.concatenate(tones)
            samples += rng.normal(0, 0.01, samples.shape)
            soundfile.write(folder / f"{key}.wav", samples, RATE_HZ)
            scp.append(f"{key} {key}.wav\n")
            text.append(f"{key} {''.join(symbols)}\n")
        (folder / f"{name}.scp").write_text("".join(scp))
        (folder / f"{name}.text").write_text("".join(text))
    (folder / "tokens.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG))


def stock_arguments() -> List[str]:
    """Options of asr_train, started in that folder."""
    words = ["--config", "train.yaml", "--output_dir", "exp", "--ngpu", "0"]
    words += ["--token_list", "tokens.txt", "--token_type", "char"]
    for role in SETS:
        option = f"--{role}_data_path_and_name_and_type"
        words += [option, f"{role}.scp,speech,sound"]
        words += [option, f"{role}.text,text,text"]
        words += [f"--{role}_shape_file", f"{role}.scp"]
    return words
