"""Recorded trainings of the original program, repeated with our model and driver."""

import numpy as np
import pytest

from espnet_ext.bin.check_parity import main
from espnet_ext.interop.parity_file import ArrayFile, ParityFile
from espnet_ext.interop.parity_trajectory import compare_trajectory
from espnet_ext.interop.returnn import read_npz
from tests.shared import shared_file

CONFORMER = "conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"
RECORDED = [("start", "traj_start"), (CONFORMER, "traj_conformer_bn")]


def recorded(name):
    return read_npz(shared_file(f"reference/parity/{name}.npz"))


@pytest.mark.parametrize("experiment, name", RECORDED)
def test_losses_and_weights_of_a_training_are_the_original_s(experiment, name, capsys):
    path = str(shared_file(f"reference/parity/{name}.npz"))
    status = main(["--experiment", experiment, "--array", path])
    text = capsys.readouterr().out
    assert ", 0 different" in text
    assert sum("  step " in line for line in text.splitlines()) == 36
    assert status == 0


def test_only_biases_without_effect_are_left_to_rounding():
    """Convolution before batch normalisation; keys' bias, a third of q, k and v."""
    file = ParityFile(CONFORMER, ArrayFile(recorded("traj_conformer_bn")))
    loose = [c.name for c in compare_trajectory(file) if "rounding" in c.name]
    expected = set()
    for layer in range(4):
        prefix = f"final encoder.layers.{layer}"
        expected |= {
            f"{prefix}.attention.qkv.bias, 6 entries decided by rounding (absolute)",
            f"{prefix}.conv.depthwise.bias, 6 entries decided by rounding (absolute)",
        }
    assert expected <= set(loose)
    others = set(loose) - expected
    assert all(".conv.norm.running_mean" in name for name in others)


@pytest.mark.parametrize(
    "change",
    ["learning_rate", "history", "final:readout_in_lm/weight/param"],
)
def test_another_rate_loss_or_weight_is_noticed(change):
    arrays = recorded("traj_start")
    if change == "history":
        arrays[change][11, 1] *= 1.001
    else:
        factor = 1.1 if change == "learning_rate" else 1.001
        arrays[change] = arrays[change] * factor
    file = ParityFile("start", ArrayFile(arrays))
    wrong = [c.name for c in compare_trajectory(file) if not c.passed]
    assert wrong


def test_a_trajectory_without_weight_decay_is_another_one():
    file = ParityFile("start", ArrayFile(recorded("traj_start")))
    file.arrays["history"][:, 2] = 0.0
    wrong = [c.name for c in compare_trajectory(file) if not c.passed]
    assert {f"step {n} weight decay" for n in range(12)} == set(wrong)


def test_stored_learning_rates_are_recognised_and_equal(capsys):
    path = str(shared_file("reference/parity/newbob.npz"))
    assert main(["--experiment", "start", "--array", path]) == 0
    assert "12 quantities compared, 0 different" in capsys.readouterr().out


def test_another_learning_rate_is_noticed(tmp_path, capsys):
    arrays = recorded("newbob")
    arrays["lr:start:n6:noisy"] = arrays["lr:start:n6:noisy"].copy()
    arrays["lr:start:n6:noisy"][70] *= 1 + 1e-5
    np.savez(tmp_path / "changed.npz", **arrays)
    path = str(tmp_path / "changed.npz")
    assert main(["--experiment", "start", "--array", path]) == 1
    assert "12 quantities compared, 1 different" in capsys.readouterr().out
