"""Alignments as a data item, from statistics to a checkpoint."""

import numpy as np
import pytest
import soundfile
import torch
from omniio import kaldi

from espnet_ext.files import read_lines
from espnet_ext.tasks.asr import TransducerTask

RATE, HOP, REDUCTION = 8000, 80, 6
CONFIG = """
frontend: default
frontend_conf: {fs: 8000, n_fft: 256, win_length: 200, hop_length: 80, n_mels: 20}
encoder: conv_blstm
encoder_conf: {conv_channels: [2], conv_feature_pooling: [2], num_layers: 2,
  hidden_size: 4, time_pooling: [3, 2]}
model: framewise
model_conf: {focal_factor: 2.0, label_smoothing: {type: ls, amount: 0.1}}
optim: adam
batch_type: numel
batch_bins: 20000
max_epoch: 2
num_workers: 0
num_att_plot: 0
use_tensorboard: false
use_matplotlib: false
best_model_criterion:
- [valid, fer, min]
"""


@pytest.fixture
def data(tmp_path):
    """Four utterances of noise of other lengths, with alignments in both forms."""
    generator = np.random.default_rng(1)
    wavs, texts, numbers, vectors = [], [], [], {}
    for index in range(4):
        name, samples = f"utt{index}", 4000 + 800 * index
        noise = 0.1 * generator.standard_normal(samples)
        soundfile.write(tmp_path / f"{name}.wav", noise, RATE)
        frames = -(-(samples // HOP + 1) // REDUCTION)
        symbols = np.zeros(frames, dtype=np.int32)
        symbols[[1, 4]] = [1, 2]
        wavs.append(f"{name} {tmp_path / name}.wav")
        texts.append(f"{name} ab")
        numbers.append(f"{name} " + " ".join(map(str, symbols)))
        vectors[name] = symbols
    for name, lines in (("wav.scp", wavs), ("text", texts), ("numbers", numbers)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    ark = f"{tmp_path}/alignment"
    with kaldi.WriteHelper(f"ark,scp:{ark}.ark,{ark}.scp") as writer:
        for name, symbols in vectors.items():
            writer[name] = symbols
    (tmp_path / "tokens").write_text("<blank>\na\nb\n<unk>\n<sos/eos>\n")
    (tmp_path / "train.yaml").write_text(CONFIG)
    return tmp_path


def run(data, alignment, *more):
    """The training command."""
    words = ["--config", f"{data}/train.yaml", "--token_type", "char"]
    words += ["--token_list", f"{data}/tokens", "--ngpu", "0"]
    items = "wav.scp,speech,sound", "text,text,text", alignment
    for part in ("train", "valid"):
        for item in items:
            words += [f"--{part}_data_path_and_name_and_type", f"{data}/{item}"]
    TransducerTask.main(cmd=[*words, *map(str, more)])


def shapes(folder):
    """Options that name the files of the statistics."""
    words = []
    for part in ("train", "valid"):
        for name in ("speech", "text"):
            words += [f"--{part}_shape_file", f"{folder}/{part}/{name}_shape"]
    return words


@pytest.mark.parametrize(
    "alignment",
    ["alignment.scp,alignment,kaldi_ark", "numbers,alignment,text_int"],
    ids=["kaldi_ark", "text_int"],
)
def test_a_model_is_trained_on_alignments_from_files(data, alignment):
    stats, exp = data / "stats", data / "exp"
    files = [f"--{p}_shape_file" for p in ("train", "valid")]
    speech = [word for name in files for word in (name, f"{data}/lengths")]
    lines = [f"utt{index} {4000 + 800 * index}" for index in range(4)]
    (data / "lengths").write_text("\n".join(lines) + "\n")
    run(data, alignment, "--collect_stats", "true", "--output_dir", stats, *speech)
    assert read_lines(stats / "train" / "alignment_shape")[0] == "utt0 9"
    normalize = ["--normalize", "global_mvn", "--normalize_conf"]
    normalize += [f"stats_file={stats}/train/feats_stats.npz"]
    run(data, alignment, "--output_dir", exp, *shapes(stats), *normalize)
    state = torch.load(exp / "2epoch.pth", weights_only=True)
    assert "encoder.layers.0.forward_lstm.weight_ih" in state
    checkpoint = torch.load(exp / "checkpoint.pth", weights_only=True)
    valid = checkpoint["reporter"]["stats"][2]["valid"]
    assert 0.0 <= valid["fer"] <= 1.0 and valid["loss_framewise"] > 0.0
