"""Conformer models through ESPnet's own loading, decoding and packing."""

import argparse

import pytest
import torch
import yaml

from espnet_ext.bin.asr_inference import Speech2Text
from espnet_ext.tasks.asr import TransducerTask

TOKENS = ["<blank>", "a", "b", "<unk>", "<sos/eos>"]
ENCODER = {
    "frontend": {"type": "blstm", "hidden_size": 3, "time_pooling": [3, 2]},
    "num_layers": 2,
    "model_size": 8,
    "feed_forward_size": 8,
    "num_heads": 2,
    "conv_kernel_size": 3,
}
MODELS = {
    "full_sum_transducer": {
        "decoder": "lstm_transducer",
        "decoder_conf": {
            "embedding_size": 3,
            "hidden_size": 4,
            "joint": {"readout_size": 8, "attention": {"key_size": 3}},
        },
        "model_conf": {"aux_ctc": {"layers": [1], "form": "ff"}},
    },
    "ctc": {
        "decoder": None,
        "decoder_conf": {},
        "model_conf": {"aux_ctc": {"layers": [1], "form": "ff"}},
    },
}


def saved_model(folder, name):
    """Configuration and weights of a random model, as a training leaves them."""
    arguments = TransducerTask.get_parser().parse_args(
        ["--output_dir", str(folder), "--token_type", "char"]
    )
    values = {
        **vars(arguments),
        "token_list": TOKENS,
        "frontend": "gammatone",
        "frontend_conf": {"fs": 8000, "channels": 10},
        "specaug": None,
        "normalize": None,
        "normalize_conf": {},
        "encoder": "staged_conformer",
        "encoder_conf": ENCODER,
        "model": name,
        **MODELS[name],
    }
    torch.manual_seed(0)
    model = TransducerTask.build_model(argparse.Namespace(**values))
    config, weights = folder / "config.yaml", folder / "model.pth"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    torch.save(model.state_dict(), weights)
    return model, config, weights


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_a_saved_model_is_loaded_and_decodes(name, tmp_path):
    model, config, weights = saved_model(tmp_path, name)
    ctc = {"ctc_weight": 1.0} if name == "ctc" else {}
    recognizer = Speech2Text(
        asr_train_config=str(config),
        asr_model_file=str(weights),
        beam_size=2,
        **ctc,
    )
    for key, tensor in model.state_dict().items():
        assert torch.equal(recognizer.asr_model.state_dict()[key], tensor), key
    wave = torch.randn(8000, generator=torch.Generator().manual_seed(1)).numpy()
    text, tokens, _, _ = recognizer(wave)[0]
    assert isinstance(text, str) and set(tokens) <= set(TOKENS)
