"""The whole preparation: what comes out, what is repeated, what stops it."""

import shutil
from pathlib import Path

import pytest

from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.prepare import Settings, prepare
from espnet_ext.errors import (
    AudioError,
    FormatError,
    MissingInputError,
    OptionError,
    ToolMissingError,
    UserError,
)
from tests.corpus.trees import MINI_GLM as GLM
from tests.corpus.trees import MINI_STM as STM
from tests.corpus.trees import noise, sphere_bytes
from tests.shared import shared_file


def run(tree, data_dir, **options):
    settings = Settings(**options.pop("settings", {}))
    said = []
    report = prepare(
        roots_below(tree), data_dir, settings=settings, say=said.append, **options
    )
    return report, said


def state(folder):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(folder.rglob("*"))
    }


SETS = {"train", "dev", "rt03s", "rt03s_swbd"}


def test_every_set_comes_out_complete(ldc_tree, tmp_path):
    data = tmp_path / "data"
    report, said = run(ldc_tree, data)
    sizes = {row.name: row.utterances for row in report.rows}
    assert sizes == {"train": 32, "dev": 16, "rt03s": 2, "rt03s_swbd": 2}
    assert {u.recording_id[:7] for u in read_data_dir(data / "dev")} == {"sw02005"}
    assert (data / "lm" / "text").read_text().endswith("-000160 hello u s\n")
    texts = [u.text for u in read_data_dir(data / "rt03s")]
    assert texts == ["hello d c", ""]
    assert (data / "rt03s" / "glm.release").read_text() == GLM
    assert "A. => A" in (data / "rt03s" / "glm").read_text()
    assert report.stages_run == [1, 2, 3, 4, 5]
    assert [warning[:20] for warning in report.warnings] == ["no sw-ms98-dict.text"]
    for number in ("LDC2002S09", "LDC2002T43", "LDC2002S13", "LDC2004T19"):
        assert any(number in line and "not given" in line for line in said)


def test_a_rerun_repeats_no_stage_and_changes_no_file(ldc_tree, tmp_path):
    run(ldc_tree, tmp_path / "data")
    before = state(tmp_path / "data")
    report, said = run(ldc_tree, tmp_path / "data")
    assert report.stages_run == []
    assert state(tmp_path / "data") == before
    assert {row.name for row in report.rows} == SETS


def test_a_changed_setting_repeats_what_depends_on_it(ldc_tree, tmp_path):
    run(ldc_tree, tmp_path / "data")
    report, said = run(ldc_tree, tmp_path / "data", settings={"max_same_text": 2})
    assert report.stages_run == [2, 4, 5]
    assert any("changed setting: max_same_text" in line for line in said)
    assert report.rows[0].utterances == 2 + 4 * 2  # "yes", and four other texts
    tsv = (tmp_path / "data" / "train" / "dropped.tsv").read_text()
    assert "text occurs more than 2 times\tyes" in tsv


def test_a_damaged_result_is_made_again(ldc_tree, tmp_path):
    run(ldc_tree, tmp_path / "data")
    (tmp_path / "data" / "dev" / "text").write_text("")
    report, _ = run(ldc_tree, tmp_path / "data")
    assert report.stages_run[0] == 2
    assert len(read_data_dir(tmp_path / "data" / "dev")) == 16


def test_stages_can_be_run_one_by_one(ldc_tree, tmp_path):
    data = tmp_path / "data"
    run(ldc_tree, data, stage=1, stop_stage=1)
    assert not (data / "train").exists()
    run(ldc_tree, data, stage=3, stop_stage=3)
    assert (data / "rt03s").is_dir() and not (data / "train").exists()
    with pytest.raises(OptionError, match="stages 3 to 2"):
        run(ldc_tree, data, stage=3, stop_stage=2)
    with pytest.raises(OptionError, match="stages 1 to 6"):
        run(ldc_tree, data, stop_stage=6)


def test_validating_nothing_is_an_error(ldc_tree, tmp_path):
    with pytest.raises(MissingInputError, match="run stages 2 and 3 first"):
        run(ldc_tree, tmp_path / "data", stage=5)


def test_kaldi_profile_takes_the_first_utterances_and_keeps_noise(ldc_tree, tmp_path):
    settings = {"profile": "kaldi", "split": "kaldi", "dev_utterances": 5}
    report, _ = run(ldc_tree, tmp_path / "data", settings=settings)
    sizes = {row.name: row.utterances for row in report.rows}
    assert sizes["train_nodup"] == 43 and sizes["train_dev"] == 5
    assert not (tmp_path / "data" / "train").exists()
    assert any("conversation(s) are in the training" in w for w in report.warnings)
    assert (tmp_path / "data" / "lm" / "text").read_text().endswith("u._s.\n")
    assert (tmp_path / "data" / "rt03s" / "glm").read_text() == GLM


def audio(tree, call="sw02001"):
    return tree / "LDC97S62" / "swb1_d1" / "data" / f"{call}.sph"


def transcript(tree):
    return next(tree.rglob("sw2001A-ms98-a-trans.text"))


SHORTENED = sphere_bytes(noise(10.0), coding="ulaw,embedded-shorten-v2.00")
FAULTS = {
    "truncated audio": (
        lambda t: audio(t).write_bytes(audio(t).read_bytes()[:-999]),
        AudioError,
        "sw02001.sph: truncated",
    ),
    "web page as audio": (
        lambda t: audio(t).write_text("<!DOCTYPE html><title>Login</title>"),
        AudioError,
        "sw02001.sph: is a web page",
    ),
    "empty audio": (
        lambda t: audio(t).write_bytes(b""),
        AudioError,
        "sw02001.sph: is empty",
    ),
    "shorten without sph2pipe": (
        lambda t: audio(t).write_bytes(SHORTENED),
        ToolMissingError,
        "sw02001.sph",
    ),
    "empty transcript": (
        lambda t: transcript(t).write_text(""),
        FormatError,
        "sw2001A-ms98-a-trans.text: transcript file is empty",
    ),
    "broken transcript line": (
        lambda t: transcript(t).write_text("sw2001A-ms98-a-0001 zero one yes\n"),
        FormatError,
        "sw2001A-ms98-a-trans.text line 1",
    ),
    "no transcripts": (
        lambda t: shutil.rmtree(t / "LDC97S62" / "transcriptions"),
        MissingInputError,
        "no MS98 transcripts",
    ),
    "no audio": (
        lambda t: shutil.rmtree(t / "LDC97S62" / "swb1_d1"),
        MissingInputError,
        "no Switchboard-1 audio",
    ),
    "call of the STM without audio": (
        lambda t: (t / "LDC2007S10" / "audio" / "sw_45104.sph").rename(
            t / "LDC2007S10" / "audio" / "sw_45105.sph"
        ),
        MissingInputError,
        "sw_45104",
    ),
    "undefined label": (
        lambda t: (t / "LDC2007S10" / "sw_45104.stm").write_text(
            STM.replace("<o> hello", "<o,f9> hello")
        ),
        FormatError,
        "f9",
    ),
    "wrong rate": (
        lambda t: audio(t).write_bytes(sphere_bytes(noise(20.0), rate=16000)),
        FormatError,
        "16000 Hz; expected 8000",
    ),
    "unknown conversation on the list": (
        lambda t: (t / "LDC97S62/docs/selection_conversations.txt").write_text("2999"),
        FormatError,
        "sw02999",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_stops_with_its_name_and_a_rerun_continues(
    name, ldc_tree, tmp_path, monkeypatch
):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    good = tmp_path / "good"
    shutil.copytree(ldc_tree, good)
    fault, error, message = FAULTS[name]
    fault(ldc_tree)
    with pytest.raises(error, match=message) as caught:
        run(ldc_tree, tmp_path / "data")
    assert isinstance(caught.value, UserError)
    shutil.rmtree(ldc_tree)
    good.rename(ldc_tree)
    report, _ = run(ldc_tree, tmp_path / "data")
    assert {row.name for row in report.rows} == SETS


def test_no_corpus_an_unknown_one_and_an_absent_folder_are_named(tmp_path):
    with pytest.raises(MissingInputError, match="no corpus is given"):
        prepare({}, tmp_path / "data")
    with pytest.raises(OptionError, match="did you mean fisher"):
        prepare({"fisher": tmp_path}, tmp_path / "data")
    with pytest.raises(MissingInputError, match="LDC97S62.*not found"):
        prepare({"swbd": tmp_path / "no"}, tmp_path / "data")
    with pytest.raises(MissingInputError, match="holds none of the releases"):
        roots_below(tmp_path)


def test_paths_with_blanks_and_umlauts_and_a_relative_root_work(
    ldc_tree, tmp_path, monkeypatch
):
    place = tmp_path / "Müller & Söhne"
    place.mkdir()
    ldc_tree.rename(place / "korpora")
    monkeypatch.chdir(place)
    run(Path("korpora"), Path("data"))
    first = read_data_dir("data/train")[0]
    assert first.audio_path == "korpora/LDC97S62/swb1_d1/data/sw02001.sph"


def test_the_example_tree_gives_what_is_wanted(tmp_path):
    """Kaldi's text with its slips mended, letters apart, and no noise."""
    root = shared_file("data/ldc-mini/ORIGIN.md").parent
    settings = {"split": "kaldi", "dev_utterances": 8}
    report, _ = run(root, tmp_path / "data", settings=settings)
    texts = {
        u.utterance_id: u.text
        for name in ("train_nodup", "train_dev")
        for u in read_data_dir(tmp_path / "data" / name)
    }
    expected = {}
    for line in (
        shared_file("data/ldc-mini-expected/train/text").read_text().splitlines()
    ):
        utterance, text = line.split(" ", 1)
        words = text.replace("._", " ").replace(".", "").replace("at&t", "a t and t")
        words = words.replace("ammn-t-", "ammu-it-").replace("ex with", "ex- with")
        words = words.replace("[noise] ", "").replace("[vocalized-noise] ", "")
        expected[utterance] = words
    del expected["sw02001-A_001856-001915"]  # [laughter] alone
    assert texts == expected
    sizes = {row.name: row.utterances for row in report.rows}
    halves = {"hub5e_00_swb": 5, "hub5e_00_ch": 7, "rt03s_swbd": 3, "rt03s_fsh": 3}
    whole = {"hub5e_00": 12, "hub5e_01": 5, "rt03s": 6}
    assert sizes == {"train_nodup": 22, "train_dev": 8, **whole, **halves}
