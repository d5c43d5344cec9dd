"""Conformer experiments against arrays of the original program, through the command."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file

BN = "conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"
RECOMMENDED = (
    "conformer_ln_pre10a_d384_h6_cnnblstmf2_chunk50a_fix245_wdro_specaugweia_"
    "rndresize09_12_attdrop01_posdrop01_aux48ff_mhsapinit05_lsxx01"
)
NO_ATTENTION = (
    "conformer_pre10_d384_h6_blstmf2_wdro_declstmd512_decemb64_decnoatt_specaug_"
    "attdrop01_posdrop01_aux4812ff"
)
SHAW = "conformer_pre9_d384_h6_wd0_blstmf2_relold_specaug"
GROWN = "conformer_ln_pre10_d384_h6_blstmf2_fix245_specaugweia_attdrop01_posdrop01_aux48ff_lsxx01"  # noqa: E501


def run(experiment, path, capsys):
    status = main(["--experiment", experiment, "--array", str(path)])
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    "experiment, name, quantities",
    [
        (RECOMMENDED, "recommended_e15", 171),
        (f"{BN}_lsx01b", "conf_bn_lsx01b_e15", 167),
        (NO_ATTENTION, "conf_decnoatt_e15", 164),
        (SHAW, "conf_relold_dh4_e15", 148),
        (BN, "conf_bn_dh4_e15", 167),
        (GROWN, "grow_copy", 162),
    ],
)
def test_everything_in_the_file_is_compared_and_equal(
    experiment, name, quantities, capsys
):
    path = shared_file(f"reference/parity/{name}.npz")
    status, output = run(experiment, path, capsys)
    assert f"{quantities} quantities compared, 0 different" in output
    assert status == 0


@pytest.mark.parametrize(
    "experiment, name, different",
    [
        (BN, "conf_bn_lsx01b_e15", "gradient"),  # without its label smoothing
        (SHAW.replace("blstmf2", "blstmf"), "conf_relold_dh4_e15", "encoder output"),
        (RECOMMENDED.replace("_lsxx01", "_ls01"), "recommended_e15", "gradient"),
        (BN.replace("_d384", "_nores_d384"), "conf_bn_dh4_e15", None),
    ],
)
def test_another_experiment_is_not_equal(experiment, name, different, capsys):
    path = shared_file(f"reference/parity/{name}.npz")
    status, output = run(experiment, path, capsys)
    assert status == 1
    if different:
        assert f"DIFFERENT  {different}" in output


def test_a_growing_copy_of_another_kind_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/grow_copy.npz")))
    name = "new:encoder/layers/0/self_att/qkv/weight/param"
    weight = arrays[name].copy()
    # the second block of q, k, v would begin here if heads were kept together
    weight[:, [18, 24]] = weight[:, [24, 18]]
    arrays[name] = weight
    np.savez(tmp_path / "changed.npz", **arrays)
    status, output = run(GROWN, tmp_path / "changed.npz", capsys)
    assert status == 1
    assert "DIFFERENT  encoder.layers.0.attention.qkv.weight" in output
