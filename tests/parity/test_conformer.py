"""Conformer experiments against arrays of the original program, through the command."""

import numpy as np
import pytest
import torch

from espnet_ext.bin.check_parity import main
from espnet_ext.interop.gates import fit_gate, use_gate
from espnet_ext.interop.reference_models import build_reference_model
from espnet_ext.interop.returnn import read_npz
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
CHUNKED = RECOMMENDED.replace("_rndresize09_12", "")
GROWN = "conformer_ln_pre10_d384_h6_blstmf2_fix245_specaugweia_attdrop01_posdrop01_aux48ff_lsxx01"  # noqa: E501


def run(experiment, path, capsys):
    status = main(["--experiment", experiment, "--array", str(path)])
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    "experiment, name, quantities",
    [
        (RECOMMENDED, "recommended_e15", 175),
        (f"{BN}_lsx01b", "conf_bn_lsx01b_e15", 171),
        (NO_ATTENTION, "conf_decnoatt_e15", 168),
        (SHAW, "conf_relold_dh4_e15", 151),
        (BN, "conf_bn_dh4_e15", 171),
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


def test_pure_ctc_is_equal_but_for_a_loss_that_contradicts_the_file_itself(capsys):
    """Encoder, top CTC and the gradient of its layer are equal. ``ctc_4`` is not what
    the file's own encoder output and head give: an empty label sequence of 7 frames has
    28.03 there, where the sum of -log p(blank) is 21.83. Gradients that reach through
    this loss differ by at most 2 %, except of position projections."""
    path = shared_file("reference/parity/ctc_conformer_e15.npz")
    status, output = run(f"ctc_{BN}", path, capsys)
    assert status == 1
    lines = [line for line in output.splitlines() if "limit" in line]
    verdict = {line.split("  ")[-1].strip(): "DIFFERENT" not in line for line in lines}
    different = [name for name, same in verdict.items() if not same]
    assert [n for n in different if not n.startswith("gradient")] == [
        "ctc_4 of each sequence (the file's own encoder output and parameters give "
        "another value)",
        "ctc_4 of the batch",
    ]
    for name in (
        "encoder output",
        "ctc of each sequence",
        "gradient ctc.ctc_lo.weight",
        "gradient ctc.ctc_lo.bias",
    ):
        assert verdict[name], name
    errors = [float(line.split()[0]) for line in lines if " gradient " in line]
    assert len(errors) == 149 and max(errors) < 0.02


def test_chunked_training_equals_the_original_with_the_gate_of_its_graph(capsys):
    """Both halves of the gated linear unit were the second one, see interop.gates."""
    path = shared_file("reference/parity/chunk_train_50a.npz")
    status, output = run(CHUNKED, path, capsys)
    assert status == 0
    assert output.count("encoder output (second half gates itself)") == 3


def test_the_gate_of_a_file_is_told_apart_by_its_encoder_output():
    arrays = read_npz(shared_file("reference/parity/recommended_e15.npz"))
    reference = build_reference_model(RECOMMENDED, arrays)
    expected = arrays[next(n for n in arrays if n.startswith("out:model_encoder"))]

    def error():
        data = torch.from_numpy(arrays["in:data"])
        lengths = torch.from_numpy(arrays["in:data_len"]).long()
        with torch.no_grad():
            frames = reference.model.encode_with_heads(data, lengths)[0].numpy()
        return float(np.abs(frames[0] - expected[0]).max())

    assert fit_gate(reference.model, error) == ""
    assert error() < 1e-4
    use_gate(reference.model, "second half gates itself")
    assert error() > 0.1


def test_frames_without_a_chunk_are_those_of_the_original():
    """Which valid frames are zero, and how many chunks a shorter sequence has."""
    arrays = read_npz(shared_file("reference/parity/chunk_train_50a.npz"))
    reference = build_reference_model(CHUNKED, arrays)
    reference.model.train()
    for prefix in ("set_a:", "set_b:", "set_c:"):
        data = torch.from_numpy(arrays[f"{prefix}in:data"])
        lengths = torch.from_numpy(arrays[f"{prefix}in:data_len"]).long()
        frames, _, _ = reference.model.encode_with_heads(data, lengths)
        ours = (frames == 0).all(dim=2).numpy()
        original = (arrays[f"{prefix}out:model_cond"] == 0).all(axis=2)
        np.testing.assert_array_equal(ours, original)


def test_losses_of_chunked_encoder_outputs_are_those_of_the_original():
    """Decoder, joint, full sum and auxiliary CTC on the original's own frames."""
    arrays = read_npz(shared_file("reference/parity/chunk_train_50a.npz"))
    reference = build_reference_model(CHUNKED, arrays)
    model = reference.model.eval()
    for prefix in ("set_a:", "set_b:", "set_c:"):
        frames = torch.from_numpy(arrays[f"{prefix}out:model_cond"])
        lengths = torch.from_numpy(arrays[f"{prefix}size:model_cond:1"]).long()
        labels = torch.from_numpy(reference.label_ids_K[arrays[f"{prefix}in:targets"]])
        batch = (
            lengths,
            labels,
            torch.from_numpy(arrays[f"{prefix}in:targets_len"]).long(),
        )
        am = model.joint_network.project_frames(frames, lengths)
        with torch.no_grad():
            nll = model.transducer_nll(am, *batch).numpy()
            ctc = model.aux_ctc_nll([(4, frames)], *batch)[4].numpy()
        np.testing.assert_allclose(nll, arrays[f"{prefix}out:full_sum"], rtol=1e-4)
        np.testing.assert_allclose(ctc, arrays[f"{prefix}out:ctc_4"], rtol=1e-4)


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
    assert status == (1 if different else 2)
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
