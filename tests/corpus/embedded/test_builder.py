"""A whole tiny tree: names, formats, caching; it appears whole or not at all."""

import dataclasses
import json
import os
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.embedded import Difficulty, Settings, build
from espnet_ext.corpus.embedded.builder import STAMP, is_current
from espnet_ext.corpus.embedded.script import write_script
from espnet_ext.corpus.embedded.special import TRAIN_CASES
from espnet_ext.errors import OptionError, StageFailedError

pytestmark = pytest.mark.slow

MS98 = "LDC97S62/transcriptions/swb_ms98_transcriptions"
LINE = re.compile(r"^(sw(\d{4})([AB])-ms98-a-(\d{4})) (\d+\.\d{6}) (\d+\.\d{6}) (.+)$")
# one pattern for each kind of file that the releases have
EXPECTED = """
LDC97S62/docs/swb1_all.dvd.tbl
LDC97S62/docs/conv_tab.csv
LDC97S62/docs/conv.tab
LDC97S62/docs/caller_tab.csv
LDC97S62/docs/selection_conversations.txt
LDC97S62/swb1_d1/data/sw02001.sph
LDC97S62/swb1_d2/data/sw02005.sph
LDC97S62/swb1_d3/data/sw02010.sph
LDC97S62/swb1_d4/data/sw02012.SPH
LDC97S62/transcriptions/swb_ms98_transcriptions/sw-ms98-dict.text
LDC97S62/transcriptions/swb_ms98_transcriptions/AAREADME.text
LDC97S62/transcriptions/swb_ms98_transcriptions/20/2001/sw2001A-ms98-a-trans.text
LDC97S62/transcriptions/swb_ms98_transcriptions/20/2001/sw2001A-ms98-a-word.text
LDC97S62/transcriptions/swb_ms98_transcriptions/20/2001/sw2001B-ms98-a-trans.text
LDC97S62/transcriptions/swb_ms98_transcriptions/21/2167/sw2167B-ms98-a-trans.text
LDC2002S09/hub5e_00/english/en_4501.sph
LDC2002S09/hub5e_00/english/sw_4401.sph
LDC2002S09/hub5e_00/english/hub5e_00.pem
LDC2002T43/2000_hub5_eng_eval_tr/reference/hub5e00.english.000405.stm
LDC2002T43/2000_hub5_eng_eval_tr/reference/en20000405_hub5.glm
LDC2002T43/2000_hub5_eng_eval_tr/reference/english/sw_4401.txt
LDC2002S13/hub5e_01/data/english/sw4651.sph
LDC2002S13/hub5e_01/data/transcr/hub5e01.english.20010402.stm
LDC2002S13/hub5e_01/doc/pems/hub5e_01.pem
LDC2007S10/data/audio/eval03/english/cts/sw_45101.sph
LDC2007S10/data/audio/eval03/english/cts/fsh_60301.sph
LDC2007S10/data/references/eval03/english/cts/sw_45101.stm
LDC2007S10/data/references/eval03/english/cts/fsh_60301.stm
LDC2007S10/data/trans_rules/en20030506.glm
LDC2004T19/fe_03_p1_tran/data/trans/000/fe_03_00001.txt
LDC2004T19/fe_03_p1_tran/doc/fe_03_p1_filelist.tbl
LDC2005T19/fe_03_p2_tran/data/trans/058/fe_03_05851.txt
LDC2005T19/fe_03_p2_tran/doc/fe_03_p2_filelist.tbl
""".split()


def audio_files(root):
    """Call -> path, links followed."""
    found = {}
    for folder, _, names in os.walk(root, followlinks=True):
        if "disks" in Path(folder).relative_to(root).parts:
            continue
        found |= {
            name[:-4]: Path(folder) / name
            for name in names
            if name.lower().endswith(".sph")
        }
    return found


def sides(root):
    """(call number, side) -> rows (id, start, end, text) of the transcripts."""
    result = {}
    for path in sorted((root / MS98).rglob("*-trans.text")):
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines():
            match = LINE.match(line)
            assert match, line
            rows.append((match[1], float(match[5]), float(match[6]), match[7].strip()))
        result[match[2], match[3]] = rows
    return result


@pytest.mark.parametrize("name", EXPECTED)
def test_the_tree_has_the_file_names_of_the_releases(tiny, name):
    assert (tiny / name).is_file()


def test_all_audio_is_telephone_audio_with_a_release_header(tiny):
    files = audio_files(tiny)
    assert len(files) == 12
    for call, path in files.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (8000, 2), call
        assert (info.format, info.subtype) == ("NIST", "ULAW"), call
        assert path.stat().st_size == 1024 + 2 * info.frames
    old = audio_files(tiny)["sw02005"].read_bytes()[:1024]
    assert b"sample_coding -s6 mu-law\n" in old
    assert b"sample_coding -s4 ulaw\n" in files["sw02001"].read_bytes()[:1024]


def test_segments_touch_and_cover_the_whole_side(tiny):
    files = audio_files(tiny)
    for (number, side), rows in sides(tiny).items():
        duration = soundfile.info(files[f"sw0{number}"]).frames / 8000
        assert rows[0][1] == 0 and rows[-1][2] == pytest.approx(duration, abs=1e-6)
        for before, after in zip(rows, rows[1:]):
            assert before[2] == after[1]
        assert [row[0][-4:] for row in rows] == [
            f"{n:04d}" for n in range(1, len(rows) + 1)
        ]
    assert sides(tiny)["2167", "B"][0][3] == "[silence]"
    assert len(sides(tiny)["2167", "B"]) == 1


def test_word_files_repeat_the_words_of_the_transcript_in_time(tiny):
    checked = 0
    for path in sorted((tiny / MS98).rglob("*-word.text")):
        trans = path.with_name(path.name.replace("-word", "-trans"))
        said, position = defaultdict(list), 0.0
        for line in path.read_text(encoding="utf-8").splitlines():
            segment, start, end, word = line.split()
            assert float(start) == pytest.approx(position, abs=1e-6), line
            assert float(end) >= float(start), line
            position = float(end)
            if word != "[silence]":
                said[segment].append(word)
        for line in trans.read_text(encoding="utf-8").splitlines():
            segment, _, _, *text = line.split()
            assert said[segment] == [w for w in text if w != "[silence]"], line
            checked += 1
    assert checked > 60


def test_every_awkward_transcript_line_is_there(tiny):
    lines = {text for rows in sides(tiny).values() for _, _, _, text in rows}
    for case, wanted in TRAIN_CASES.items():
        assert set(wanted) <= lines, case


def test_awkward_files_of_the_releases_are_there(tiny):
    windows = tiny / MS98 / "20/2010/sw2010A-ms98-a-trans.text"
    data = windows.read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") > 3
    assert (tiny / "LDC97S62/swb1_d3").is_symlink()
    longest = max(
        end - start
        for rows in sides(tiny).values()
        for _, start, end, t in rows
        if t != "[silence]"
    )
    assert longest > 15.0
    table = (tiny / "LDC97S62/docs/conv_tab.csv").read_text(encoding="utf-8")
    assert "2001, 1, " in table and "2005" not in table
    dictionary = (tiny / MS98 / "sw-ms98-dict.text").read_text(encoding="utf-8")
    entries = dict(line.split(" ", 1) for line in dictionary.splitlines()[1:])
    assert entries["i"] == entries["I"] == "ay"
    assert entries["AT&amp;T"].startswith("ey t iy")
    assert entries["TVs"] == "t iy v iy z"
    selection = tiny / "LDC97S62/docs/selection_conversations.txt"
    assert selection.read_text(encoding="utf-8").split() == ["sw03020"]


def test_hub5e_00_segments_and_references_agree(tiny):
    folder = tiny / "LDC2002T43/2000_hub5_eng_eval_tr/reference"
    stm = (folder / "hub5e00.english.000405.stm").read_text(encoding="utf-8")
    rows = [line.split(" ", 6) for line in stm.splitlines() if line[:2] != ";;"]
    defined = set(re.findall(r'^;; LABEL "([^"]+)"', stm, re.MULTILINE))
    for row in rows:
        assert row[2] == f"{row[0]}_{row[1]}"
        assert set(row[5].strip("<>").split(",")) <= defined
        assert re.fullmatch(r"\d+\.\d\d", row[3]) and re.fullmatch(r"\d+\.\d\d", row[4])
        assert row[6] == row[6].upper()
    pem = (tiny / "LDC2002S09/hub5e_00/english/hub5e_00.pem").read_text("utf-8")
    listed = [line.split() for line in pem.splitlines() if line[:2] != ";;"]
    assert [[r[0], r[1], r[3], r[4]] for r in rows] == [
        [p[0], p[1], p[3], p[4]] for p in listed
    ]


def test_hub5e_01_has_long_times_and_lines_out_of_order(tiny):
    path = tiny / "LDC2002S13/hub5e_01/data/transcr/hub5e01.english.20010402.stm"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" ", 6) for line in lines if line[:2] != ";;"]
    assert all(re.fullmatch(r"\d+\.\d{6}", row[3]) for row in rows)
    starts = [float(row[3]) for row in rows if row[0] == rows[0][0]]
    assert starts != sorted(starts)
    assert any(row[6].startswith("IGNORE_TIME_SEGMENT") for row in rows)


def test_rt03_has_numbered_channels_gaps_and_empty_texts(tiny):
    folder = tiny / "LDC2007S10/data/references/eval03/english/cts"
    for path in sorted(folder.glob("*.stm")):
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split(" ", 6) for line in lines if line[:2] != ";;"]
        assert {row[1] for row in rows} == {"1", "2"}
        gaps = [row for row in rows if row[2] == "inter_segment_gap"]
        assert gaps and all(len(row) == 6 for row in gaps)
        texts = [row for row in rows if row not in gaps]
        assert any(len(row) == 6 for row in texts)  # nothing said
        assert all(row[6] == row[6].lower() for row in texts if len(row) == 7)


def test_speech_is_where_the_transcript_says(tiny):
    """Words are louder than silence on the same side, nearly everywhere."""
    files = audio_files(tiny)
    louder = []
    for (number, side), rows in sides(tiny).items():
        samples, rate = soundfile.read(files[f"sw0{number}"], always_2d=True)
        channel = samples[:, "AB".index(side)]

        def power(row):
            part = channel[int(row[1] * rate) : int(row[2] * rate)]
            return np.mean(part**2)

        quiet = [power(r) for r in rows if r[3] == "[silence]" and r[2] - r[1] > 0.3]
        spoken = [power(r) for r in rows if not r[3].startswith("[")]
        if spoken:
            louder += [power_ > 4 * np.median(quiet) for power_ in spoken]
    assert np.mean(louder) > 0.98


def test_sidecars_know_every_word_and_side(tiny):
    words = (tiny / "alignment/word_times.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in words.splitlines()[1:]]
    script = write_script(Settings("tiny"))
    expected = sum(
        bool(token.words)
        for name in script.calls
        for turn in script.turns(name)
        for token in turn.sentence
    )
    assert len(rows) == expected
    assert all(float(row[3]) < float(row[4]) for row in rows)
    table = (tiny / "alignment/sides.tsv").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 1 + 2 * 12


def test_amounts_are_those_of_the_tree(tiny):
    amounts = json.loads((tiny / STAMP).read_text(encoding="utf-8"))["amounts"]
    dev = ("3020",)
    seconds = sum(
        end - start
        for (number, _), rows in sides(tiny).items()
        for _, start, end, text in rows
        if text != "[silence]" and number not in dev
    )
    assert amounts["train"]["minutes"] == pytest.approx(seconds / 60, abs=0.01)
    assert 1.7 <= amounts["train"]["minutes"] <= 2.4


def test_a_second_call_returns_at_once_and_touches_nothing(tiny):
    before = (tiny / STAMP).stat().st_mtime_ns
    start = time.monotonic()
    assert build(tiny, size="tiny") == tiny
    assert time.monotonic() - start < 0.5
    assert (tiny / STAMP).stat().st_mtime_ns == before
    assert is_current(tiny, Settings("tiny"))
    assert not is_current(tiny, Settings("tiny", seed=2))
    harder = dataclasses.replace(Difficulty(), snr_db=(5.0, 10.0))
    assert not is_current(tiny, Settings("tiny", difficulty=harder))


def test_the_same_seed_gives_the_same_text_and_times(tiny, tmp_path):
    again = build(tmp_path / "again", size="tiny", workers=1)
    compared = 0
    for path in sorted(tiny.rglob("*")):
        if path.is_file() and path.suffix.lower() != ".sph":
            other = again / path.relative_to(tiny)
            assert path.read_bytes() == other.read_bytes(), path.name
            compared += 1
    assert compared > 40
    for call, path in audio_files(tiny).items():
        frames = soundfile.info(audio_files(again)[call]).frames
        assert soundfile.info(path).frames == frames


def test_a_failed_build_leaves_nothing_and_keeps_what_was_there(
    tiny, tmp_path, monkeypatch
):
    def crash(*unused, **unused_too):
        raise StageFailedError("a voice failed")

    monkeypatch.setattr("espnet_ext.corpus.embedded.builder.synthesise", crash)
    with pytest.raises(StageFailedError):
        build(tmp_path / "new", size="tiny")
    assert list(tmp_path.iterdir()) == []
    before = sorted(tiny.rglob("*"))
    with pytest.raises(StageFailedError):
        build(tiny, size="tiny", force=True)
    assert sorted(tiny.rglob("*")) == before


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(OptionError, match="holds something else"):
            build(tmp_path, size="tiny", force=force)
    assert mine.read_text(encoding="utf-8") == "years of work"


def test_a_build_interrupted_by_a_kill_is_cleaned_up_by_the_next(tiny, tmp_path):
    from espnet_ext.corpus.whole_folder import replaced_folder

    dead = tmp_path / ".corpus.making-99999999"
    dead.mkdir()
    with replaced_folder(tmp_path / "corpus") as folder:
        (folder / "file").write_text("x", encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]
