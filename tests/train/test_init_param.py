"""``--init_param``: the encoder of one model in another one, through the command."""

import argparse
import re

import pytest
import torch
import yaml

from espnet_ext.errors import EXIT_USER_ERROR
from espnet_ext.tasks.asr import TransducerTask
from tests.train.tiny_training import CONFIG, FEATURES, TOKENS, train, words

ATTENTION = {
    "decoder": "mlp_attention_lstm",
    "decoder_conf": {
        **{"embedding_size": 3, "hidden_size": 4, "key_size": 3, "readout_size": 6},
    },
    "model": "attention_encoder_decoder",
    "model_conf": {"loss_reduction": "sum"},
}
STILL = ("--optim_conf", "lr=0.0")


def trained(tiny_data, folder, changes, *more, status=0):
    """Train for one epoch; the folder of the experiment, and what was printed."""
    folder.mkdir()
    config = folder / "train.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "max_epoch": 1, **changes}))
    exp = folder / "exp"
    command = words(tiny_data, exp, "--config", str(config), *more)
    return exp, train(command, folder / "log", status)


@pytest.fixture(scope="module")
def attention(tiny_data, tmp_path_factory):
    """Folder of a trained attention model."""
    folder = tmp_path_factory.mktemp("source") / "attention"
    return trained(tiny_data, folder, ATTENTION)[0]


def encoded(exp):
    """Encoder output, and its lengths, of the model that a training saved."""
    values = yaml.safe_load((exp / "config.yaml").read_text())
    model = TransducerTask.build_model(argparse.Namespace(**values)).eval()
    model.load_state_dict(torch.load(exp / "1epoch.pth", weights_only=True))
    x = torch.randn(2, 20, FEATURES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        frames, lengths = model.encode_frames(x, torch.tensor([20, 13]))
    assert values["token_list"] == TOKENS
    return frames, lengths


def test_an_attention_model_s_encoder_starts_a_transducer(
    attention, tiny_data, tmp_path
):
    given = ("--init_param", f"{attention}/1epoch.pth:encoder:encoder")
    target, _ = trained(tiny_data, tmp_path / "transducer", {}, *given, *STILL)
    fresh, _ = trained(tiny_data, tmp_path / "fresh", {}, *STILL)
    frames, lengths = encoded(attention)
    again, lengths_again = encoded(target)
    assert torch.equal(again, frames) and torch.equal(lengths_again, lengths)
    assert not torch.equal(encoded(fresh)[0], frames)


@pytest.mark.parametrize(
    "given, said",
    [
        ("{source}:encoder:encoder", "do not fit.*size mismatch.*encoder_conf"),
        ("{source}:decoder:encoder", "do not fit.*Unexpected key"),
        ("{source}:encoder:enc", "do not fit.*no attribute 'enc'"),
        ("{source}:encodr:encoder", "no weight.*'encodr'.*did you mean 'encoder'"),
        ("missing.pth:encoder:encoder", "missing.pth: file not found"),
        ("{config}:encoder:encoder", "cannot be read as weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    given, said, attention, tiny_data, tmp_path
):
    wide = {"encoder_conf": {**CONFIG["encoder_conf"], "hidden_size": 5}}
    files = {"source": attention / "1epoch.pth", "config": attention / "config.yaml"}
    given = ("--init_param", given.format(**files))
    _, text = trained(
        tiny_data, tmp_path / "other", wide, *given, status=EXIT_USER_ERROR
    )
    assert re.search(said, text, re.DOTALL) and "Traceback" not in text
