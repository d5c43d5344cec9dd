"""Experiment ``start`` against arrays of the original program, through the command."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file


def run(name, capsys):
    status = main(
        [
            "--experiment",
            "start",
            "--array",
            str(shared_file(f"reference/parity/{name}")),
        ]
    )
    return status, capsys.readouterr()


@pytest.mark.parametrize(
    "name, quantities",
    [("start_e1.npz", 38), ("start_full.npz", 62), ("recog_start.npz", 43)],
)
def test_everything_in_the_file_is_compared_and_equal(name, quantities, capsys):
    status, output = run(name, capsys)
    assert status == 0
    assert f"{quantities} quantities compared, 0 different" in output.out


def test_a_changed_parameter_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/start_e1.npz")))
    arrays["param:readout_in_bias/param"] = arrays["param:readout_in_bias/param"] + 0.01
    np.savez(tmp_path / "changed.npz", **arrays)
    path = str(tmp_path / "changed.npz")
    assert main(["--experiment", "start", "--array", path]) == 1
    assert "DIFFERENT  log-probabilities" in capsys.readouterr().out


def test_a_changed_beam_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/recog_start.npz")))
    arrays["single0:beam12:labels"][3, 4] += 1
    np.savez(tmp_path / "changed.npz", **arrays)
    path = str(tmp_path / "changed.npz")
    assert main(["--experiment", "start", "--array", path]) == 1
    assert "DIFFERENT  single0:beam12 different symbols" in capsys.readouterr().out


def test_missing_and_surplus_parameters_are_named(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/start_e1.npz")))
    del arrays["param:att_query/weight/param"]
    arrays["param:extra/param"] = np.zeros(3)
    arrays["param:att_query/weight/param"] = np.zeros((16, 10))
    np.savez(tmp_path / "surplus.npz", **arrays)
    path = str(tmp_path / "surplus.npz")
    assert main(["--experiment", "start", "--array", path]) == 2
    assert "unused ['extra']" in capsys.readouterr().err


def test_unknown_experiment_and_missing_file_are_user_errors(tmp_path, capsys):
    assert main(["--experiment", "start", "--array", str(tmp_path / "no.npz")]) == 2
    assert "array file not found" in capsys.readouterr().err
    (tmp_path / "text.npz").write_text("not an archive")
    assert main(["--experiment", "start", "--array", str(tmp_path / "text.npz")]) == 2
    assert "cannot be read as arrays" in capsys.readouterr().err
