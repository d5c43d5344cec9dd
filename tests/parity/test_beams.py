"""Beams of our searches against those of the original program."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file

ATTENTION = "att_conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"
ORIG = "orig_pre20bs5k_native_fixsepblanklast"


def lines_of(capsys, name, experiment):
    path = str(shared_file(f"reference/parity/{name}.npz"))
    status = main(["--experiment", experiment, "--array", path])
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    "name, experiment, quantities",
    [("recog_start", "start", 43), ("recog_orig", ORIG, 64)],
)
def test_every_beam_of_the_file_is_reproduced(name, experiment, quantities, capsys):
    """Encoder, symbols, scores, lengths; alone, in a batch, and (orig) not merged."""
    status, output = lines_of(capsys, name, experiment)
    assert f"{quantities} quantities compared, 0 different" in output and status == 0
    if name == "recog_orig":
        assert "single1:norecomb:beam12 scores" in output


def test_beams_of_the_attention_model_are_reproduced(capsys):
    """Whose graph had the second half gate itself in the Conformer's convolutions."""
    status, output = lines_of(capsys, "recog_att", ATTENTION)
    assert "43 quantities compared, 0 different" in output and status == 0
    assert output.count("out:encoder (second half gates itself)") == 4
    assert output.count("beam12 row") == 9 and "single2:beam12 scores" in output


def test_another_score_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/recog_orig.npz")))
    arrays["beam12:scores"] = arrays["beam12:scores"] * 1.001
    np.savez(tmp_path / "changed.npz", **arrays)
    path = str(tmp_path / "changed.npz")
    assert main(["--experiment", ORIG, "--array", path]) == 1
    assert "DIFFERENT  beam12 row 0 scores" in capsys.readouterr().out
