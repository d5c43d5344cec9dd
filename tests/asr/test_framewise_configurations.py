"""The configurations of framewise training build what the reference describes."""

import pytest
import torch
import yaml
from espnet2.asr.ctc import CTC

from espnet_ext.asr.framewise_transducer_model import time_reduction
from espnet_ext.register import register
from tests.shared import REPOSITORY

V = 1031


@pytest.fixture(autouse=True)
def registered():
    register()


def configuration(name):
    return yaml.safe_load((REPOSITORY / "conf" / f"train_{name}.yaml").read_text())


def build(name):
    """The model of a configuration, without memory for its parameters."""
    from espnet2.tasks import asr

    conf = configuration(name)
    with torch.device("meta"):
        encoder_class = asr.encoder_choices.get_class(conf["encoder"])
        encoder = encoder_class(input_size=40, **conf["encoder_conf"])
        size, decoder = encoder.output_size(), None
        if "decoder" in conf:
            decoder_class = asr.decoder_choices.get_class(conf["decoder"])
            decoder = decoder_class(V, size, **conf["decoder_conf"])
        return asr.model_choices.get_class(conf["model"])(
            vocab_size=V,
            token_list=["<blank>", *map(str, range(V - 2)), "<sos/eos>"],
            **dict.fromkeys(("frontend", "specaug", "normalize", "preencoder")),
            encoder=encoder,
            postencoder=None,
            decoder=decoder,
            ctc=CTC(V, size),
            **conf["model_conf"],
        )


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_framewise_conformer_has_the_sizes_of_the_reference():
    model = build("framewise_conformer")
    assert time_reduction(model.encoder) == 3
    assert len(model.encoder.layers) == 12
    assert count(model.encoder.layers[0]) == 3_554_304  # d 384, kernel 8
    assert sorted(model.aux_outputs) == ["4", "8"]
    assert count(model.framewise_output) == 385 * V
    assert not isinstance(model.ctc, torch.nn.Module) and model.focal_factor == 2.0


def test_the_vgg_conformer_has_the_sizes_of_the_reference():
    model = build("framewise_vgg")
    assert time_reduction(model.encoder) == 4
    assert count(model.encoder.layers[0]) == 6_324_224  # d 512, kernel 32
    assert model.encoder.layers[0].attention.heads == 8


def test_the_extended_transducer_has_149_million_parameters():
    model = build("extended")
    # that is 149.06 million in the reference; 136,897,888 are the encoder's
    assert count(model) == 149_063_810
    assert model.chunk == (60, 30, 6)
    assert model.decoder.switchout.replace == 0.05


def test_learning_rates_are_those_of_the_reference():
    points = configuration("framewise_conformer")["scheduler_conf"]["points"]
    assert [rate for _, rate in points] == [0.002, 0.02, 0.002, 1e-7]
    points = configuration("framewise_vgg")["scheduler_conf"]["points"]
    assert (points[0][1], max(r for _, r in points), points[-1][1]) == (
        8e-5,
        8e-4,
        1e-6,
    )
