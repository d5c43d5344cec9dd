"""Numbers of parameters of the original's models, exactly.

Ours has one embedding row more than the original's table, for blank.
"""

import pytest
import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.experiments.build import model_size
from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.resolve import resolve
from tests.shared import REPOSITORY

WDRO = "conformer_pre10_d384_h6_blstmf2_wdro"
REST = "specaug_attdrop01_posdrop01_aux4812ff"
ATTENTION = (
    "att_conformer_ln_pre10a_d384_h6_cnnblstmf2_fix245_specaugweia_oldtwarp_"
    "attdrop01_posdrop01_aux48ff_mhsapinit05_ls01g"
)


def size(name):
    return model_size(resolve(name, conf=find_conf(REPOSITORY / "conf")).config)


@pytest.mark.parametrize(
    "name, part, count, row",
    [
        ("orig", "encoder", 136_897_888, 0),
        ("orig", "decoder", 11_967_643, 256),
        ("start", "decoder", 11_967_843, 256),
        ("ctc_start_slowpretrain", "total", 139_010_407, 0),
        ("conformer", "encoder", 76_171_648, 0),
        ("conformer", "decoder", 8_281_443, 256),
        ("conformer_pre9_d384_h6_wd0_convwei_specaug_aux48", "encoder", 43_309_504, 0),
        (f"{WDRO}_declstmd512_{REST}", "decoder", 3_790_179, 256),
        (f"{WDRO}_declstmd512_decemb64_{REST}", "decoder", 3_199_011, 64),
        (f"{WDRO}_declstmd512_decemb64_decnoatt_{REST}", "decoder", 2_661_211, 64),
        (f"{WDRO}_declstmz_{REST}", "decoder", 7_974_243, 256),
        (ATTENTION, "total", 66_272_747, 621),
        ("old_moh_hybrid_conformer", "encoder", 46_582_752, 0),
        ("old_nick_att_conformer", "encoder", 81_818_368, 0),
    ],
)
def test_parts_have_the_original_s_number_of_parameters(name, part, count, row):
    """reference/models.md, tables of (a), (d.7), (e), (f), (g), (h)."""
    found = size(name)
    got = found.total if part == "total" else found.by_part[part]
    assert got - row == count


@pytest.mark.slow
@pytest.mark.parametrize(
    "epoch, count",
    [
        (1, 19_227_131),
        (6, 34_725_371),
        (11, 59_924_987),
        (16, 97_185_275),
        (21, 148_865_531),
    ],
)
def test_what_orig_uses_in_each_growing_stage_is_that_stage_of_the_original(
    epoch, count
):
    """reference/models.md (a): parameters in use of one constant set."""
    with torch.device("meta"):
        encoder = ConvBlstmEncoder(
            40,
            growth_start_layers=2,
            growth_epochs_per_layer=5,
            growth_start_fraction=0.5,
        )
        decoder = LstmTransducerDecoder(
            1031,
            2048,
            joint={"attention": {"key_bias": False}, "readout_matrix": "single"},
        )
    encoder.active_layers = torch.tensor(6.0)
    encoder.set_epoch(epoch)
    frames = encoder.stage.sizes()["frames"]
    decoder.joint_network.use_frame_size(frames if frames < 2048 else None)
    masks = {f"encoder.{n}": m for n, m in encoder.used_entries().items()}
    for name, mask in decoder.joint_network.used_entries().items():
        masks[f"decoder.joint_network.{name}"] = mask
    parts = {"encoder": encoder, "decoder": decoder}
    used = sum(
        int(masks[name].sum()) if name in masks else parameter.numel()
        for part, module in parts.items()
        for name, parameter in (
            (f"{part}.{n}", p) for n, p in module.named_parameters()
        )
    )
    assert used - 256 == count
