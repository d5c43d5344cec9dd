"""First values of every kind of parameter, as reference/models.md section 0 has them.

Expected limits are written down here kind by kind, in the original's terms (inputs and
outputs of its own matrices); every parameter of every model has to be of a kind.
"""

import copy
import math
import re

import pytest

from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.resolve import resolve
from tests.experiments.tiny_models import make_model, model_parts
from tests.shared import REPOSITORY

REST = "specaug_attdrop01_posdrop01_aux48ff"
NAMES = [
    "start",
    "orig",
    "ctc_start_slowpretrain",
    "conformer",
    "conformer_pre9_d384_h6_wd0_convwei_specaug_aux48",
    "conformer_pre9_h8_wd0_bnmask_blstmf2_relold_specaug",
    "conformer_ln_pre10a_d384_h6_cnnblstmf2_chunk50a_fix245_wdro_specaugweia_"
    "attdrop01_posdrop01_aux48ff_mhsapinit05_lsxx01",
    f"conformer_pre10_d384_h6_blstmf2_wdro_declstmz_{REST}",
    f"conformer_pre10_d384_h6_blstmf2_wdro_declstmd512_decemb64_decnoatt_{REST}",
    f"ctc_conformer_pre10_d384_h6_blstmf2_{REST}",
    f"att_conformer_pre10_d384_h6_blstmf2_{REST}",
    "att_conformer_ln_pre10a_d384_h6_cnnblstmf2_fix245_declstmz_specaugweia_oldtwarp_"
    "attdrop01_posdrop01_aux48ff_mhsapinit05_ls01g",
    "old_moh_hybrid_conformer",
    "old_nick_att_conformer",
]


def glorot(inputs, outputs, scale=1.0):
    return math.sqrt(6 * scale / (inputs + outputs))


def expected_limit(name, shape, config, shapes):
    """Of U(-l, l); or ("constant", value)."""
    encoder, decoder = config["encoder_conf"], config["decoder_conf"] or {}
    zoneout = "zoneout" in decoder
    if re.search(r"norm\d*\.weight|norm\.weight", name):
        return "constant", 1.0
    if name.endswith("bias") and "pos_bias" not in name:
        return "constant", 0.0  # of linear layers, LSTMs, convolutions, norms
    if name.endswith("pos_bias_u") or name.endswith("pos_bias_v"):
        return glorot(*shape)
    if name.endswith("embedding"):
        return glorot(shape[0] - 1, shape[1])  # without blank's row
    if name == "decoder.embedding_bias" or name.endswith("readout_bias"):
        return "constant", 0.0
    if name.startswith("decoder.lstm") and zoneout:
        inputs = (
            shapes["decoder.lstm.weight_ih"][1] + shapes["decoder.lstm.weight_hh"][1]
        )
        return glorot(inputs, shape[0])
    if "lstm.weight" in name:
        return glorot(shape[1], shape[0])
    if "depthwise.weight" in name:
        return glorot(shape[2], shape[0] * shape[2])
    if "convolutions" in name:
        area = shape[2] * shape[3]
        return glorot(shape[1] * area, shape[0] * area)
    scaled = encoder.get("init") == "variance_scaling_078_fan_in"
    if name.endswith("position_table"):
        if encoder["shaw_init"] == "zero":
            return "constant", 0.0
        return math.sqrt(3 * 0.78 / shape[0]) if scaled else glorot(*shape)
    if re.search(r"readout_(am|lm)", name) and (
        decoder["joint"].get("readout_matrix") == "single"
    ):
        sizes = [
            shapes[f"decoder.joint_network.readout_{p}.weight"] for p in ("am", "lm")
        ]
        return glorot(sum(s[1] for s in sizes), shape[0])
    outputs, inputs = shape
    if name.startswith("encoder.") and scaled:
        return math.sqrt(3 * 0.78 / inputs)
    factor = encoder.get("qkv_init_scale", 1.0) if "qkv" in name else 1.0
    return glorot(inputs, outputs, factor)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_the_original_s_distribution(name):
    config = resolve(name, conf=find_conf(REPOSITORY / "conf")).config
    kept = copy.deepcopy(model_parts(config))
    for option in ("growth", "growth_start_layers", "growth_start_fraction"):
        kept["encoder_conf"].pop(option, None)
    model = make_model(kept)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    for parameter_name, parameter in model.named_parameters():
        limit = expected_limit(parameter_name, shapes[parameter_name], kept, shapes)
        values = parameter.detach().double().flatten()
        if isinstance(limit, tuple):
            assert (values == limit[1]).all(), parameter_name
            continue
        assert float(values.abs().max()) <= limit * (1 + 1e-6), parameter_name
        # variance limit^2 / 3; that of its estimate 4/45 limit^4 / n: six sigma
        variance = float(values.square().mean())
        tolerance = 6 * math.sqrt(4 / 45 / len(values)) * limit**2
        assert abs(variance - limit**2 / 3) < tolerance, parameter_name
        tolerance = 6 * limit / math.sqrt(3 * len(values))
        assert abs(float(values.mean())) < tolerance, parameter_name


def test_weights_on_growing_frames_are_drawn_as_in_the_first_stage():
    """A layer of the decoder that meets frames of half the size is created there."""
    config = resolve(NAMES[6], conf=find_conf(REPOSITORY / "conf")).config
    kept = copy.deepcopy(model_parts(config))
    kept["encoder_conf"]["model_size"] = 48
    model = make_model(kept)
    first = model.encoder.stages[0]
    weight = model.decoder.joint_network.readout_am.weight.detach()
    rows, columns = weight.shape
    early = weight.view(rows, 2, -1)[:, :, : first.model]
    late = weight.view(rows, 2, -1)[:, :, -4:]
    for part, inputs in ((early, 2 * first.model), (late, columns)):
        limit = glorot(inputs, rows)
        assert 0.97 * limit < float(part.abs().max()) <= limit
    head = model.ctc_heads.heads["8"].weight.detach()  # created with layer 8
    created = model.encoder.stages[2]
    limit = glorot(created.model, head.shape[0])
    assert 0.97 * limit < float(head[:, : created.model].abs().max()) <= limit
