"""Evaluation sets: Kaldi's segments, nothing lost in silence, accepted by hubscr."""

import os
import shutil
import subprocess

import pytest

from espnet_ext.corpus import eval_set, hub5, rt03
from espnet_ext.corpus.audio import audio_info, check_audio_files
from espnet_ext.corpus.kaldi_dir import write_data_dir
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.errors import FormatError, MissingInputError
from tests.analysis.nist import nist_programs
from tests.corpus.trees import write_call
from tests.shared import shared_file


def tree():
    return shared_file("data/ldc-mini/ORIGIN.md").parent


def hub5e_00():
    return hub5.find_hub5e_00(tree() / "LDC2002S09", tree() / "LDC2002T43")


def hub5e_01():
    return hub5.find_hub5e_01(tree() / "LDC2002S13", hub5e_00().glm)


def rt03s():
    return rt03.find_rt03(tree() / "LDC2007S10")


SETS = {"eval2000": hub5e_00, "eval2001": hub5e_01, "rt03": rt03s}


def utterances_of(files, **options):
    stm, log = eval_set.load_stm(files), PreparationLog()
    paths = list(files.audio.values())
    infos = dict(zip(paths, check_audio_files(paths)))
    return eval_set.eval_utterances(files, stm, infos, log, **options), stm, log


@pytest.mark.parametrize(
    "expected, extend_s", [("eval2000", 0.1), ("eval2001", 0.0), ("rt03", 0.0)]
)
def test_segments_equal_those_of_kaldi(expected, extend_s):
    """Kaldi widens hub5e_00 only, truncates ids, and keeps one ignored segment."""
    utterances, _, _ = utterances_of(SETS[expected](), extend_s=extend_s)
    lines = shared_file(f"data/ldc-mini-expected/{expected}/segments").read_text()
    rows = {line.split()[0]: line.split()[1:] for line in lines.splitlines()}
    ignored = {"sw4653-A_000254-000329"}
    truncated = {
        "sw_4390-A_000268-000459": "sw_4390-A_000268-000460",
        "sw_4390-B_000200-000243": "sw_4390-B_000201-000243",
        "sw_4390-B_000484-000563": "sw_4390-B_000485-000563",
    }
    wanted = {truncated.get(k, k): v for k, v in rows.items() if k not in ignored}
    assert [u.utterance_id for u in utterances] == sorted(wanted)
    for utterance in utterances:
        recording, start, end = wanted[utterance.utterance_id]
        assert utterance.recording_id == utterance.speaker_id == recording
        assert utterance.start_s == float(start)
        # Kaldi does not look at the audio, and may widen beyond its end
        length_s = audio_info(utterance.audio_path).duration_s
        end_s = (
            float(end) if float(end) <= length_s + 0.01 else int(100 * length_s) / 100
        )
        assert utterance.end_s == end_s


def test_segments_are_those_of_the_stm_unless_widened():
    utterances, stm, log = utterances_of(hub5e_00())
    scored = {(s.file, s.start_s, s.end_s) for s in stm.segments if not s.ignored}
    assert {(u.recording_id[:-2], u.start_s, u.end_s) for u in utterances} == scored
    assert log.counts["not scored by the STM"] == 2


def test_reference_text_has_one_plain_reading():
    texts = {u.utterance_id: u.text for u in utterances_of(hub5e_00())[0]}
    assert texts["en_4156-A_000244-000424"] == "and they live in the u s"
    assert texts["en_4156-B_000688-000763"] == ""
    assert texts["en_4156-B_000950-001052"] == "gonna go mhm"


@pytest.mark.parametrize("name", SETS)
def test_hubscr_accepts_the_prepared_set_and_finds_no_error(name, tmp_path):
    """The STM text itself as hypothesis must score 0 %."""
    programs = nist_programs()
    files = SETS[name]()
    utterances, stm, _ = utterances_of(files)
    out = write_data_dir(
        tmp_path / name, utterances, {"stm": stm.to_text(), "glm": files.glm}
    )
    ctm = []
    for segment in stm.segments:
        text = segment.text.replace("{ GONNA / GOING TO }", "GOING TO")
        words = [] if segment.ignored else text.translate({40: " ", 41: " "}).split()
        step = (segment.end_s - segment.start_s) / (len(words) + 1)
        for number, word in enumerate(words):
            start = segment.start_s + number * step
            fields = [segment.file, segment.channel, f"{start:.3f}", f"{step / 2:.3f}"]
            ctm.append(" ".join([*fields, word]))
    (tmp_path / "h.ctm").write_text("".join(f"{line}\n" for line in ctm))
    command = [str(programs / "hubscr.pl"), "-V", "-l", "english", "-h", "hub5"]
    command += ["-g", str(out / "glm"), "-r", str(out / "stm"), "h.ctm"]
    path = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=path)
    report = (tmp_path / "h.ctm.filt.dtl").read_text()
    assert "Percent Total Error       =    0.0%" in report


def test_the_middle_folder_may_be_absent_and_names_in_upper_case(tmp_path):
    source = tree() / "LDC2002T43/2000_hub5_eng_eval_tr/reference"
    for path in source.glob("*.*"):
        if path.is_file():
            shutil.copyfile(path, tmp_path / path.name.upper())
    write_call(tmp_path / "ENGLISH" / "EN_4156.SPH")
    write_call(tmp_path / "ENGLISH" / "SW_4390.SPH")
    files = hub5.find_hub5e_00(tmp_path, tmp_path)
    assert files.glm.name == "EN20000405_HUB5.GLM"
    assert sorted(files.audio) == ["en_4156", "sw_4390"]
    assert files.pem is None


def test_pem_and_stm_agree_in_the_example_and_a_difference_is_a_warning(tmp_path):
    for files in (hub5e_00(), hub5e_01()):
        log = PreparationLog()
        eval_set.compare_with_pem(files, eval_set.load_stm(files), log)
        assert log.warnings == []
    pem = tmp_path / "hub5e_00.pem"
    pem.write_text(
        hub5e_00().pem.read_text().replace("A unknown_speaker 0.50", "A x 0.6")
    )
    changed = eval_set.EvalFiles(**{**hub5e_00().__dict__, "pem": pem})
    log = PreparationLog()
    eval_set.compare_with_pem(changed, eval_set.load_stm(changed), log)
    assert "differ in 4 segment(s), first en_4156 A at 0.5 s" in log.warnings[0]


def small_set(tmp_path, lines, seconds=10.0):
    stm = tmp_path / "x.stm"
    stm.write_text("".join(f"{line}\n" for line in lines))
    audio = {"sw_4390": write_call(tmp_path / "sw_4390.sph", seconds)}
    return eval_set.EvalFiles("hub5e_00", (stm,), None, audio)


def test_a_call_without_audio_is_an_error_and_no_deletion(tmp_path):
    files = small_set(tmp_path, ["sw_4390 A s 0 1 YES", "en_4156 A s 0 1 NO"])
    with pytest.raises(MissingInputError, match="1 call.*en_4156"):
        utterances_of(files)


def test_segments_out_of_order_are_sorted(tmp_path):
    lines = ["sw_4390 A s 5 6 NO", "sw_4390 A s 0 1 YES", "sw_4390 B s 2 3 OH"]
    utterances, _, _ = utterances_of(small_set(tmp_path, lines))
    assert [u.text for u in utterances] == ["yes", "no", "oh"]


def test_a_segment_outside_its_audio_is_an_error(tmp_path):
    files = small_set(tmp_path, ["sw_4390 A s 8 12 YES"])
    with pytest.raises(FormatError, match="8.0 to 12.0 s, but the audio has 10.00 s"):
        utterances_of(files)


def test_an_end_just_past_the_audio_is_cut_and_logged(tmp_path):
    files = small_set(tmp_path, ["sw_4390 A s 8 10.3 YES"])
    (utterance,), _, log = utterances_of(files)
    assert utterance.end_s == 10.0
    assert utterance.utterance_id == "sw_4390-A_000800-001030"
    assert log.entries[0].reason == "end cut to the end of the audio"


def test_a_label_without_definition_is_refused(tmp_path):
    files = small_set(tmp_path, ["sw_4390 A s 0 1 <O,sw> YES"])
    with pytest.raises(FormatError, match="label.*O, sw"):
        utterances_of(files)


def test_neighbours_share_the_gap_when_segments_are_widened(tmp_path):
    lines = ["sw_4390 A s 0.05 1 YES", "sw_4390 A s 1.1 2 NO", "sw_4390 A s 2 3 OH"]
    utterances, _, _ = utterances_of(small_set(tmp_path, lines), extend_s=0.1)
    assert [(u.start_s, u.end_s) for u in utterances] == [
        (0.0, 1.05),
        (1.05, 2.0),
        (2.0, 3.1),
    ]


def test_subsets_are_told_by_the_name_of_the_call():
    stm = eval_set.load_stm(hub5e_00())
    callhome, swb = (eval_set.of_subset(stm, prefix) for prefix in ("en_", "sw_"))
    assert len(callhome.segments) == 8 and len(swb.segments) == 6
    assert callhome.header == stm.header


@pytest.mark.parametrize(
    "find", [hub5.find_hub5e_01, lambda root, _: rt03.find_rt03(root)]
)
def test_an_empty_folder_is_named_with_an_example_of_what_belongs_there(tmp_path, find):
    with pytest.raises(MissingInputError, match="files like .*sph"):
        find(tmp_path, None)


def test_of_two_copies_of_a_reference_one_is_read(tmp_path):
    root = shutil.copytree(tree() / "LDC2007S10", tmp_path / "rt03")
    stms = rt03.find_rt03(root).stms
    for path in stms:
        target = root / "zz" / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    assert rt03.find_rt03(root).stms == stms
