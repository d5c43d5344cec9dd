"""--check: everything is named, nothing is written, one fault hides no other."""

import shutil

import pytest

from espnet_ext.cli import main
from espnet_ext.corpus.check import check_releases
from espnet_ext.corpus.corpora import RELEASES, roots_below
from tests.corpus.trees import noise, sphere_bytes, write_call
from tests.shared import shared_file


def checked(roots, **options):
    said = []
    status = check_releases(roots, say=said.append, **options)
    return status, "\n".join(said)


def test_a_complete_tree_can_be_prepared():
    status, said = checked(roots_below(shared_file("data/ldc-mini/ORIGIN.md").parent))
    assert status == 0 and "! " not in said
    for title in ("Switchboard-1", "hub5e_00", "hub5e_01", "rt03s", "Fisher text"):
        assert title in said
    assert "transcripts of 8 sides" in said and "30 utterances" in said
    assert "audio: 4 sph" in said
    assert "a sample in the shape of LDC97S62" in said
    assert "2 transcripts" in said
    assert "all that is given can be prepared" in said


def test_what_is_not_given_is_named_with_what_it_is_for(ldc_tree):
    status, said = checked({"rt03": ldc_tree / "LDC2007S10"})
    assert status == 0
    for key, release in RELEASES.items():
        missing = f"{release.catalogue} not given ({release.purpose})"
        assert (missing in said) == (key != "rt03")


def test_each_fault_of_each_release_is_shown(ldc_tree, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    audio = ldc_tree / "LDC97S62" / "swb1_d1" / "data"
    shortened = sphere_bytes(noise(1.0), coding="ulaw,embedded-shorten-v2.00")
    for n in range(30):
        (audio / f"sw03{n:03d}.sph").write_bytes(shortened)
    (ldc_tree / "LDC2007S10" / "sw_45104.stm").write_text("sw_45104 A x\n")
    shutil.rmtree(ldc_tree / "LDC2005T19")
    roots = {
        **roots_below(ldc_tree),
        "fisher2": ldc_tree / "LDC2005T19",
        "hub5e01": tmp_path,
    }
    status, said = checked(roots)
    assert status == 1
    assert "! 30 file(s) are shorten-compressed" in said
    assert all(str(audio / f"sw03{n:03d}.sph") in said for n in range(30))
    assert "sw_45104.stm line 1" in said
    assert "! " + str(ldc_tree / "LDC2005T19") in said
    assert "4 problem(s)" in said


def test_audio_and_transcripts_that_do_not_match_are_shown(ldc_tree):
    audio = ldc_tree / "LDC97S62" / "swb1_d1" / "data"
    (audio / "sw02001.sph").unlink()
    write_call(audio / "sw03000.sph")
    status, said = checked(roots_below(ldc_tree))
    assert status == 0
    assert "transcript without audio: 2, first sw02001-A" in said
    assert "audio without transcript: 2, first sw03000-A" in said


def test_a_broken_transcript_is_a_problem(ldc_tree):
    path = next(ldc_tree.rglob("sw2001A-ms98-a-trans.text"))
    path.write_text("sw2001A-ms98-a-0001 zero one yes\n")
    status, said = checked(roots_below(ldc_tree))
    assert status == 1 and f"! {path} line 1: found" in said


def test_a_wrong_rate_is_a_problem(ldc_tree):
    audio = ldc_tree / "LDC97S62" / "swb1_d1" / "data" / "sw02001.sph"
    audio.write_bytes(sphere_bytes(noise(20.0), rate=16000))
    status, said = checked(roots_below(ldc_tree))
    assert status == 1 and "! rate 16000 Hz; expected 8000 Hz" in said


@pytest.mark.parametrize("given", [True, False])
def test_the_command_writes_nothing(ldc_tree, tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    options = ["--root", str(ldc_tree)] if given else []
    assert main(["data", "prepare", "--check", *options]) == (0 if given else 1)
    assert sorted(tmp_path.rglob("*")) == before
    assert ("can be prepared" in capsys.readouterr().out) == given
