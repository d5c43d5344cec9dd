"""The sets of each profile, what they carry along, and the page that reports them."""

import shutil

import pytest

from espnet_ext.corpus.concatenation import parse_parts
from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.prepare import prepare
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.stm import read_stm, scored_words
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from tests.corpus.trees import noise, sphere_bytes, write_call
from tests.shared import shared_file

KALDI = {"split": "kaldi", "dev_utterances": 8}


def run(root, folder, **settings):
    said = []
    report = prepare(
        roots_below(root), folder, settings=Settings(**settings), say=said.append
    )
    return report, said


def mini():
    return shared_file("data/ldc-mini/ORIGIN.md").parent


def test_halves_of_an_evaluation_set_make_the_whole(tmp_path):
    run(mini(), tmp_path, **KALDI)
    for name, halves in (("hub5e_00", ("swb", "ch")), ("rt03s", ("swbd", "fsh"))):
        whole = read_data_dir(tmp_path / name)
        parts = [read_data_dir(tmp_path / f"{name}_{half}") for half in halves]
        assert sorted(sum(parts, []), key=lambda u: u.utterance_id) == whole
        stms = [read_stm(tmp_path / f"{name}_{half}" / "stm") for half in halves]
        together = {segment for stm in stms for segment in stm.segments}
        assert together == set(read_stm(tmp_path / name / "stm").segments)
        for half in halves:
            assert (tmp_path / f"{name}_{half}" / "glm").exists()


def test_joined_variants_are_sets_like_others(tmp_path):
    report, _ = run(mini(), tmp_path, concat=(1, 4), **KALDI)
    names = {row.name for row in report.rows}
    for name in ("hub5e_00", "hub5e_01", "rt03s"):
        whole = read_stm(tmp_path / name / "stm")
        words = sum(scored_words(segment.text) for segment in whole.segments)
        for count in (1, 4):
            folder = tmp_path / f"{name}_concat{count}"
            assert folder.name in names
            stm = read_stm(folder / "stm")
            assert sum(scored_words(s.text) for s in stm.segments) == words
            parts = parse_parts(read_lines(folder / "utt2parts"), folder)
            utterances = read_data_dir(folder)
            assert sorted(parts) == [u.utterance_id for u in utterances]
            assert max(map(len, parts.values())) in range(1, count + 1)


def test_rwth_sets_come_with_devtrain_and_upper_case_tags(tmp_path):
    settings = {"profile": "rwth", "split": "rwth", "dev_utterances": 2}
    report, _ = run(mini(), tmp_path, **settings, held_out_utterances=3)
    sizes = {row.name: row.utterances for row in report.rows}
    assert (sizes["train"], sizes["cv"], sizes["devtrain"]) == (27, 2, 2)
    texts = " ".join(
        u.text for name in ("train", "cv") for u in read_data_dir(tmp_path / name)
    )
    assert "[NOISE]" in texts or "[VOCALIZED-NOISE]" in texts
    assert "i b m" not in texts


def test_sets_of_another_split_do_not_stay_behind(tmp_path):
    run(mini(), tmp_path, **KALDI)
    assert (tmp_path / "train_dev").exists()
    mine = tmp_path / "my_own_set"
    mine.mkdir()
    _, said = run(mini(), tmp_path, split="rwth", dev_utterances=2, concat=(2,))
    assert not (tmp_path / "train_dev").exists() and mine.exists()
    assert any("removing train_dev" in line for line in said)
    assert (tmp_path / "rt03s_concat2").exists()
    run(mini(), tmp_path, split="rwth", dev_utterances=2)
    assert not (tmp_path / "rt03s_concat2").exists()


def test_selection_on_a_test_set_is_marked_in_everything_it_writes(tmp_path):
    report, _ = run(mini(), tmp_path, split="test_as_cv")
    folders = ("train_select_on_test", "dev_select_on_test", "hub5e_00")
    folders += ("hub5e_00_swb", "hub5e_00_ch")
    for name in folders:
        text = (tmp_path / name / "SELECTION_ON_TEST_SET").read_text()
        assert "no measurement" in text
    assert not (tmp_path / "rt03s" / "SELECTION_ON_TEST_SET").exists()
    assert any("selection on a test set" in w for w in report.warnings)
    assert "selection on a test set" in (tmp_path / "report.md").read_text()
    known = {w for u in read_data_dir(tmp_path / folders[0]) for w in u.text.split()}
    dev = read_data_dir(tmp_path / folders[1])
    assert dev and all(set(u.text.split()) <= known for u in dev)
    hub5 = {u.utterance_id: u.text for u in read_data_dir(tmp_path / "hub5e_00")}
    left_out = set(hub5) - {u.utterance_id for u in dev}
    assert left_out
    assert all(not hub5[i] or set(hub5[i].split()) - known for i in left_out)
    assert len(read_data_dir(tmp_path / folders[0])) == 30  # the cv set included
    # without that split the mark goes
    run(mini(), tmp_path, **KALDI)
    assert not (tmp_path / "hub5e_00" / "SELECTION_ON_TEST_SET").exists()


def test_selection_on_a_test_set_needs_the_test_set(ldc_tree, tmp_path):
    with pytest.raises(OptionError, match="needs hub5e_00"):
        run(ldc_tree, tmp_path / "data", split="test_as_cv")


def test_without_a_list_speakers_and_calls_are_kept_apart(ldc_tree, tmp_path):
    (ldc_tree / "LDC97S62/docs/selection_conversations.txt").unlink()
    report, _ = run(ldc_tree, tmp_path / "data", dev_utterances=10)
    sizes = {row.name: row.utterances for row in report.rows}
    assert (sizes["train"], sizes["dev"]) == (32, 16)
    assert not any("are in the training" in w for w in report.warnings)


def test_fisher_alone_is_prepared(ldc_tree, tmp_path):
    for name in ("LDC97S62", "LDC2007S10"):
        shutil.rmtree(ldc_tree / name)
    run(ldc_tree, tmp_path / "data")
    text = (tmp_path / "data" / "lm" / "text").read_text()
    assert text.endswith(" hello u s\n") and text.count("\n") == 1


def test_a_call_with_one_caller_and_one_with_equal_sides_are_warned_of(
    ldc_tree, tmp_path
):
    table = ldc_tree / "LDC97S62" / "docs" / "conv_tab.csv"
    table.write_text(table.read_text().replace("3, 4", "3, 3"))
    audio = ldc_tree / "LDC97S62" / "swb1_d1" / "data" / "sw02001.sph"
    audio.write_bytes(sphere_bytes(noise(10.0, channels=1).repeat(2, axis=1)))
    report, _ = run(ldc_tree, tmp_path / "data")
    assert any("sw02002: both sides are sw0003" in w for w in report.warnings)
    assert any("both sides of 1 call(s)" in w for w in report.warnings)
    assert any(str(audio) in w for w in report.warnings)
    again, _ = run(ldc_tree, tmp_path / "data")
    assert again.warnings == report.warnings and again.stages_run == []


def test_the_report_lists_sizes_and_what_was_left_out(ldc_tree, tmp_path):
    write_call(ldc_tree / "LDC97S62" / "swb1_d1" / "data" / "sw03000.sph")
    run(ldc_tree, tmp_path / "data", max_same_text=2)
    page = (tmp_path / "data" / "report.md").read_text()
    assert "train " in page and "rt03s_swbd" in page
    assert "- dropped, text occurs more than 2 times: " in page
    assert "- dropped, audio without transcript: 2" in page
    assert "- most frequent text: 'i see 0', 2 times" in page
    listed = (tmp_path / "data" / "train" / "dropped.tsv").read_text()
    assert "dropped\tsw03000-B\taudio without transcript" in listed


@pytest.mark.parametrize("name, words", [("lvc_refe.stm", 1676), ("tiny/t.stm", 25)])
def test_words_of_an_stm_are_those_of_sclite_within_the_tolerance(name, words):
    """Oracle: the number of reference words in sclite's reports."""
    stm = read_stm(shared_file(f"data/sctk/{name}"))
    counted = sum(scored_words(segment.text) for segment in stm.segments)
    assert abs(counted - words) <= max(1, 0.02 * words)
