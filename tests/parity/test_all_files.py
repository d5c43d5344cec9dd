"""Every array file of the original goes through the command, and is equal."""

import pytest

from espnet_ext.bin.check_parity import main
from espnet_ext.interop.parity_kinds import KINDS
from tests.shared import shared_file

BN = "conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"
RECOMMENDED = (
    "conformer_ln_pre10a_d384_h6_cnnblstmf2_chunk50a_fix245_wdro_specaugweia_{}"
    "attdrop01_posdrop01_aux48ff_mhsapinit05_lsxx01"
)
ORIG = "orig_pre20bs5k_native_fixsepblanklast"
EXPERIMENTS = {
    "att_conformer_e15": f"att_{BN}",
    "chunk_train_50a": RECOMMENDED.format(""),
    "conf_bn_dh4_e15": BN,
    "conf_bn_lsx01b_e15": f"{BN}_lsx01b",
    "conf_decnoatt_e15": "conformer_pre10_d384_h6_blstmf2_wdro_declstmd512_decemb64_"
    "decnoatt_specaug_attdrop01_posdrop01_aux4812ff",
    "conf_relold_dh4_e15": "conformer_pre9_d384_h6_wd0_blstmf2_relold_specaug",
    "ctc_conformer_e15": f"ctc_{BN}",
    "gammatone": "start",
    "grow_copy": "conformer_ln_pre10_d384_h6_blstmf2_fix245_specaugweia_attdrop01_"
    "posdrop01_aux48ff_lsxx01",
    "grow_copy_orig": ORIG,
    "newbob": "start",
    "orig_last": ORIG,
    "orig_stage1": ORIG,
    "orig_stage2": ORIG,
    "recog_att": f"att_{BN}",
    "recog_orig": ORIG,
    "recog_start": "start",
    "recommended_e15": RECOMMENDED.format("rndresize09_12_"),
    "start_e1": "start",
    "start_full": "start",
    "traj_conformer_bn": BN,
    "traj_start": "start",
}
NOT_EQUAL = {
    "chunk_train_50a": "encoder output differs, cause not found",
    "recog_att": "its encoder output is not that of its parameters, see test_beams",
    "ctc_conformer_e15": "ctc_4 contradicts the file's own arrays, see test_conformer",
}


def test_no_file_of_the_original_is_left_out():
    folder = shared_file("reference/parity")
    assert {path.stem for path in folder.glob("*.npz")} == set(EXPERIMENTS)


def cases():
    for name in EXPERIMENTS:
        reason = NOT_EQUAL.get(name)
        marks = pytest.mark.xfail(strict=True, reason=reason) if reason else ()
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", cases())
def test_the_command_finds_every_file_equal(name, capsys):
    path = shared_file(f"reference/parity/{name}.npz")
    status = main(["--experiment", EXPERIMENTS[name], "--array", str(path)])
    output = capsys.readouterr()
    assert status == 0, output.out + output.err
    assert ", 0 different" in output.out


def test_each_kind_recognises_at_least_one_file_and_nothing_foreign():
    for kind in KINDS:
        assert not kind.recognises([]) and not kind.recognises(["something", "else"])
