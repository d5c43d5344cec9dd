"""The attention encoder-decoder against arrays of the original program."""

import numpy as np

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file

NAME = "att_conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"


def test_everything_in_the_file_is_compared_and_equal(capsys):
    """Encoder, costs of positions, auxiliary CTC, and the gradients the file has."""
    path = str(shared_file("reference/parity/att_conformer_e15.npz"))
    status = main(["--experiment", NAME, "--array", path])
    output = capsys.readouterr().out
    assert "159 quantities compared, 0 different" in output and status == 0
    for part in ("ce of each sequence", "ctc_4 of each", "gradient decoder.embedding"):
        assert part in output


def test_another_decoder_lstm_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/att_conformer_e15.npz")))
    name = "param:s/param_W/param"
    arrays[name] = arrays[name] * 2
    np.savez(tmp_path / "changed.npz", **arrays)
    status = main(["--experiment", NAME, "--array", str(tmp_path / "changed.npz")])
    assert status == 1
    assert "DIFFERENT  ce of each sequence" in capsys.readouterr().out
