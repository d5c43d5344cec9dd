"""Beams of our searches against those of the original program."""

import itertools

import numpy as np
import pytest
import torch

from espnet_ext.bin.check_parity import main
from espnet_ext.interop.parity_file import ArrayFile, ParityFile
from tests.parity.original_names import FEATURES, LABELS
from tests.parity.test_all_experiments import parameters, rows
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


def test_beams_of_a_ctc_model_are_its_best_paths(tmp_path, capsys):
    """No such file is stored. Frames are independent: all paths are enumerated."""
    row = next(row for row in rows() if row["family"] == "ctc")
    arrays = {
        **parameters(row, 150),
        "in:data": np.random.default_rng(1).normal(size=(1, 17, FEATURES)),
        "in:data_len": np.array([17]),
    }
    reference = ParityFile(row["name"], ArrayFile(arrays), None, 150).reference()
    model = reference.model
    data = torch.from_numpy(arrays["in:data"]).float(), torch.tensor([17])
    with torch.no_grad():
        frames, _ = model.encode(*data)
        log_probs_TV = model.ctc.log_softmax(frames)[0].double().numpy()
    original_TV = log_probs_TV[:, [*reference.label_ids_K, 0]]  # blank is the last
    paths = itertools.product(range(LABELS + 1), repeat=len(original_TV))
    scored = [(sum(original_TV[range(len(p)), p]), p) for p in paths]
    best = sorted(scored, reverse=True)[:4]
    arrays["single0:beam4:scores"] = np.array([score for score, _ in best])
    arrays["single0:beam4:labels"] = np.array([path for _, path in best])
    np.savez(tmp_path / "recog.npz", **arrays)
    words = ["--experiment", row["name"], "--array", str(tmp_path / "recog.npz")]
    assert main(words) == 0
    assert "2 quantities compared, 0 different" in capsys.readouterr().out
