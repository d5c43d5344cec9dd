"""Each fault that was put into a clean directory is found, with file and line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.data_preparation import write_million_lines
from espnet_ext.cli import main
from espnet_ext.corpus.kaldi_dir import Utterance, utterance_id, write_data_dir
from espnet_ext.corpus.validation import find_problems, validate_data_dir
from espnet_ext.errors import FormatError, MissingInputError
from tests.corpus.trees import noise, sphere_bytes, write_call


@pytest.fixture
def clean(tmp_path):
    """Two calls of 10 s, four sides, two utterances a side."""
    utterances = []
    for call in ("sw02001", "sw02002"):
        audio = write_call(tmp_path / "audio" / f"{call}.sph", 10.0)
        for channel, side in enumerate("AB"):
            for start in (1.0, 4.0):
                reco = f"{call}-{side}"
                utterances.append(
                    Utterance(
                        utterance_id(reco, start, start + 2),
                        reco,
                        reco,
                        "yes so do i",
                        str(audio),
                        channel,
                        start,
                        start + 2,
                    )
                )
    return write_data_dir(tmp_path / "train", utterances)


def test_a_clean_directory_has_no_fault(clean):
    found = validate_data_dir(clean, rate=8000)
    assert (found.utterances, found.recordings, found.speakers) == (8, 4, 4)
    assert found.hours == pytest.approx(16 / 3600)
    assert found.problems == []


def edit(name, old, new, count=1):
    def fault(folder):
        path = folder / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, count))

    return fault


def swap_lines(name):
    def fault(folder):
        lines = (folder / name).read_text().splitlines()
        lines[1], lines[2] = lines[2], lines[1]
        (folder / name).write_text("\n".join(lines) + "\n")

    return fault


def repeat_line(name):
    def fault(folder):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(lines[:2] + lines[1:]) + "\n")

    return fault


def replace_audio(content):
    def fault(folder):
        (folder.parent / "audio" / "sw02002.sph").write_bytes(content)

    return fault


def remove(path):
    def fault(folder):
        (folder / path).unlink()

    return fault


def nan_audio(folder):
    samples = np.zeros((80000, 2), np.float32)
    samples[17, 1] = np.nan
    soundfile.write(folder / "x.wav", samples, 8000, subtype="FLOAT")
    edit("wav.scp", str(folder.parent / "audio" / "sw02001.sph").encode(), b"%b/x.wav")(
        folder
    )
    edit("wav.scp", b"%b", str(folder).encode())(folder)


SECOND = b"sw02001-A_000400-000600"
FAULTS = {
    "unsorted": (swap_lines("text"), "text line 3: sw02001-A_000400.* not sorted"),
    "duplicate id": (repeat_line("text"), "text line 3: duplicate id sw02001-A_0004"),
    "missing audio": (remove("../audio/sw02002.sph"), "wav.scp line 3: .*not found"),
    "past the end": (
        edit("segments", b"4.00 6.00", b"4.00 11.00"),
        r"segments line 2: .*4.0 to 11.0 s, but the audio has 10.00",
    ),
    "reversed times": (
        edit("segments", b"4.00 6.00", b"6.00 4.00"),
        "segments line 2: .*no time span",
    ),
    "wrong rate": (
        replace_audio(sphere_bytes(noise(20.0), rate=16000)),
        "wav.scp line 3: .*16000 Hz; expected 8000",
    ),
    "wrong channel": (
        replace_audio(sphere_bytes(noise(10.0, channels=1))),
        "wav.scp line 4: .*side B, but .*1 channel",
    ),
    "NaN time": (
        edit("segments", b"4.00 6.00", b"4.00 nan"),
        "segments line 2: .*nan are no time span",
    ),
    "NaN samples": (nan_audio, "wav.scp line 1: .*not numbers"),
    "zero length": (replace_audio(b""), "wav.scp line 3: .*empty"),
    "truncated": (
        replace_audio(sphere_bytes(noise(10.0))[:-3000]),
        "wav.scp line 3: .*truncated",
    ),
    "HTML saved as sph": (
        replace_audio(b"<html><body>Please log in</body></html>"),
        "wav.scp line 3: .*web page",
    ),
    "CRLF": (edit("text", b"\n", b"\r\n", 99), "text line 1: Windows line end"),
    "BOM": (edit("text", b"sw", b"\xef\xbb\xbfsw"), "text line 1: .*byte order mark"),
    "illegal character": (
        edit("text", SECOND + b" yes", SECOND + b" y\x07s"),
        r"text line 2: illegal control character b'\\x07'",
    ),
    "blank that is none": (
        edit("text", SECOND + b" yes so", SECOND + b" yes\xc2\xa0so"),
        r"text line 2: illegal character U\+00A0",
    ),
    "character that was lost": (
        edit("text", SECOND + b" yes", SECOND + b" y\xef\xbf\xbds"),
        r"text line 2: illegal character U\+FFFD",
    ),
    "short segment": (
        edit("segments", b"4.00 6.00", b"4.00 4.01"),
        "segments line 2: .*0.010 s are too short",
    ),
    "short audio": (
        replace_audio(sphere_bytes(noise(0.02))),
        "wav.scp line 3: .*0.0200 s of audio are too short",
    ),
    "empty text": (
        edit("text", SECOND + b" yes so do i", SECOND),
        "text line 2: .*empty text",
    ),
    "not UTF-8": (
        edit("text", SECOND + b" yes", SECOND + b" y\xe9s"),
        "text line 2: is not UTF-8",
    ),
    "cut-off table": (
        lambda d: (d / "text").write_bytes((d / "text").read_bytes()[:-9]),
        "text line 8: the last line has no line end",
    ),
    "empty table": (lambda d: (d / "text").write_text(""), "text: file is empty"),
    "absent table": (remove("utt2spk"), "utt2spk: file is missing"),
    "utterance without text": (
        edit("text", SECOND + b" yes so do i\n", b""),
        "text: sw02001-A_000400-000600 is missing",
    ),
    "speaker differs": (
        edit("utt2spk", b" sw02001-A", b" sw02001-B"),
        "spk2utt line 1: sw02001-A: the utterances differ",
    ),
    "unknown recording": (
        edit("segments", b" sw02002-A ", b" sw09999-A "),
        "segments line 5: .*sw09999-A is not in wav.scp",
    ),
    "unknown side": (
        edit("reco2file_and_channel", b"sw02001 B", b"sw02001 C"),
        "reco2file_and_channel line 2: .*side 'C'",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_with_file_and_line(clean, name):
    fault, message = FAULTS[name]
    fault(clean)
    with pytest.raises(FormatError, match=message):
        validate_data_dir(clean, rate=8000)


def test_empty_text_is_fine_in_an_evaluation_set(clean):
    edit("text", SECOND + b" yes so do i", SECOND)(clean)
    (clean / "stm").write_text(";; an evaluation set\n")
    assert validate_data_dir(clean).problems == []


def test_some_bad_utterances_can_be_tolerated_but_no_bad_table(clean, tmp_path):
    edit("text", SECOND + b" yes so do i", SECOND)(clean)
    listed = tmp_path / "bad.txt"
    with pytest.raises(FormatError, match="12.50 %"):
        validate_data_dir(clean, max_bad_percent=10, list_file=listed)
    assert "text line 2" in listed.read_text()
    assert len(validate_data_dir(clean, max_bad_percent=13).problems) == 1
    listed.unlink()
    (clean.parent / "audio" / "sw02002.sph").unlink()  # four more utterances
    with pytest.raises(FormatError, match="62.50 %"):
        validate_data_dir(clean, max_bad_percent=62)
    assert len(validate_data_dir(clean, max_bad_percent=63).problems) == 3
    swap_lines("utt2spk")(clean)
    with pytest.raises(FormatError, match="not sorted"):
        validate_data_dir(clean, max_bad_percent=13)


def test_the_command_writes_a_list_beside_the_directory_and_fails(clean, capsys):
    listed = clean.parent / "train.problems.txt"
    listed.write_text("an older list\n")
    assert main(["data", "validate", str(clean)]) == 0
    assert not listed.exists()
    edit("text", SECOND + b" yes so do i", SECOND)(clean)
    assert main(["data", "validate", str(clean)]) == 1
    error = capsys.readouterr().err
    assert "12.50 %" in error and str(listed) in error
    assert listed.read_text() == f"{clean}/text line 2: {SECOND.decode()}: empty text\n"
    assert main(["data", "validate", "--max_bad_percent", "13", str(clean)]) == 0
    assert "warning: " in capsys.readouterr().out and listed.exists()


def test_all_faults_are_reported_at_once(clean):
    swap_lines("text")(clean)
    replace_audio(b"")(clean)
    edit("segments", b"4.00 6.00", b"4.00 11.00")(clean)
    problems, _ = find_problems(clean)
    assert {Path(problem.file).name for problem in problems} == {
        "text",
        "wav.scp",
        "segments",
    }


def test_an_absent_directory_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere"):
        validate_data_dir(tmp_path / "nowhere")


@pytest.mark.slow
def test_one_bad_line_in_a_million_is_found(tmp_path):
    """How long it takes: benchmarks/data_preparation.py."""
    write_million_lines(tmp_path)
    assert validate_data_dir(tmp_path, check_audio=False).utterances == 1_000_000
    text = tmp_path / "text"
    line = b"sw02500-A_000100-000190 so do you\n"
    text.write_bytes(text.read_bytes().replace(line, line.replace(b" do", b"\x00do")))
    with pytest.raises(FormatError, match="text line 500002: illegal control"):
        validate_data_dir(tmp_path, check_audio=False)
