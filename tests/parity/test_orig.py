"""The raw network experiments ``orig`` against arrays of the original program."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file

NAME = "orig_pre20bs5k_native_fixsepblanklast"


@pytest.mark.parametrize(
    "name, quantities", [("orig_stage1", 37), ("orig_stage2", 43), ("orig_last", 61)]
)
def test_everything_in_the_file_is_compared_and_equal(name, quantities, capsys):
    path = str(shared_file(f"reference/parity/{name}.npz"))
    status = main(["--experiment", NAME, "--array", path])
    assert f"{quantities} quantities compared, 0 different" in capsys.readouterr().out
    assert status == 0


def test_another_alignment_is_noticed(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/orig_stage1.npz")))
    arrays["out:rna_alignment"] = arrays["out:rna_alignment"].copy()
    arrays["out:rna_alignment"][0, [0, 1]] += 1
    np.savez(tmp_path / "changed.npz", **arrays)
    path = str(tmp_path / "changed.npz")
    assert main(["--experiment", NAME, "--array", path]) == 1
    assert "DIFFERENT  alignment: different symbols" in capsys.readouterr().out


def test_a_misplaced_blank_column_is_refused(capsys):
    path = str(shared_file("reference/parity/orig_stage1.npz"))
    assert main(["--experiment", "orig_native", "--array", path]) == 1
    assert "blank column is misplaced" in capsys.readouterr().err
