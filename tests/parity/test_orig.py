"""The raw network experiments ``orig`` against arrays of the original program."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from tests.shared import shared_file

NAME = "orig_pre20bs5k_native_fixsepblanklast"


@pytest.mark.parametrize(
    "name, quantities", [("orig_stage1", 48), ("orig_stage2", 54), ("orig_last", 72)]
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


def misplaced(arrays):
    """The file as the experiments without ``fixsepblanklast`` would have given it.

    Their vector is [blank, labels], but they take its last entry for blank: what the
    repaired experiment computes for its columns is the same, in another order.
    """
    changed = {n: a for n, a in arrays.items() if not n.startswith(("grad:", "loss:"))}
    for name in ("out:output/output_prob", "out:rna_alignment", "total_loss"):
        del changed[name]
    log_probs = arrays["out:output/output_log_prob"]
    changed["out:output/output_log_prob"] = np.roll(log_probs, 1, axis=-1)
    return changed


def test_a_misplaced_blank_column_moves_all_symbols_by_one(tmp_path, capsys):
    arrays = dict(np.load(shared_file("reference/parity/orig_stage1.npz")))
    np.savez(tmp_path / "misplaced.npz", **misplaced(arrays))
    path = str(tmp_path / "misplaced.npz")
    for name in ("orig", "orig_native", "orig_pre20bs5k_native"):
        main(["--experiment", name, "--array", path])
        output = capsys.readouterr().out
        assert "ok         log-probabilities" in output
        assert "ok         out:output/att" in output
        assert ", 0 different" in output
    assert main(["--experiment", NAME, "--array", path]) == 1
    assert "DIFFERENT  log-probabilities" in capsys.readouterr().out


def test_growth_moves_every_element_to_the_original_s_place(tmp_path, capsys):
    path = shared_file("reference/parity/grow_copy_orig.npz")
    assert main(["--experiment", NAME, "--array", str(path)]) == 0
    assert "76 quantities compared, 0 different" in capsys.readouterr().out
    for name in ("output/rec/readout_in/W", "enc_ctx0/W", "lstm1_bw/rec/W"):
        arrays = dict(np.load(path))
        changed = arrays[f"0to5:new:{name}"].copy()
        changed[[0, -1]] = changed[[-1, 0]]
        np.savez(tmp_path / "changed.npz", **{**arrays, f"0to5:new:{name}": changed})
        status = main(["--experiment", NAME, "--array", str(tmp_path / "changed.npz")])
        assert status == 1 and "DIFFERENT" in capsys.readouterr().out
