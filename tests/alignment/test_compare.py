"""Figures of comparisons by hand, and pages that hold what they show."""

import base64
import json

import numpy as np
import pytest
import soundfile

from espnet_ext.alignment.boundaries import (
    boundary_table,
    measure_all,
    words_between,
)
from espnet_ext.alignment.compare import compare, peaks_of
from espnet_ext.alignment.compare_page import write_comparison
from espnet_ext.alignment.store import (
    Aligned,
    AlignmentInfo,
    AlignmentSet,
    write_set,
)
from espnet_ext.alignment.words import Word, units_of, word_groups
from espnet_ext.analysis.alignment_section import alignment_section
from espnet_ext.analysis.kaldi_text import Place
from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.errors import FormatError, MissingInputError

TOKENS = ("<blank>", "<unk>", "\u2581hel", "lo", "\u2581you", "<sos/eos>")
UTTERANCE = "call-A_000100-000180"


def one(symbols, shift_s=0.1, topology="rna", key=UTTERANCE, tokens=TOKENS):
    info = AlignmentInfo(topology, tokens, shift_s)
    values = np.array(symbols, dtype=np.int32)
    kept = [s for n, s in enumerate(symbols) if s and (n == 0 or s != symbols[n - 1])]
    labels = np.array(kept, dtype=np.int32)
    entry = Aligned(values, labels, len(symbols), -2.0, -1.0)
    return AlignmentSet(info, {key: entry})


FIRST = one([2, 3, 0, 0, 4, 0, 0, 0])
SECOND = one([0, 2, 0, 3, 0, 4, 0, 0])


def test_shifts_agreement_and_peaks_are_those_counted_by_hand():
    figures = compare(FIRST, SECOND)
    assert (figures.utterances, figures.compared, figures.unit) == (1, 3, "labels")
    assert figures.mean_shift_s == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert figures.median_abs_shift_s == pytest.approx(0.1)
    assert figures.near == 0.0
    assert figures.frame_agreement == pytest.approx(3 / 8)
    peaks = figures.peaks[0]
    assert peaks.label_frames == pytest.approx(3 / 8)
    assert peaks.label_s == pytest.approx(0.1)
    assert peaks.blank_run_s == pytest.approx((0.2 + 0.3) / 2)
    assert peaks.score_per_frame == pytest.approx(-2 / 8)
    assert peaks.posterior == pytest.approx(np.exp(-1))


def test_repeated_labels_last_longer():
    peaks = peaks_of(one([2, 2, 2, 0, 3, 4, 4, 0], topology="ctc"))
    assert peaks.label_s == pytest.approx(0.2)
    assert peaks.label_frames == pytest.approx(6 / 8)


def test_other_units_are_compared_by_words():
    whole = one([0, 2, 0, 3], 0.2, tokens=("<b>", "<unk>", "\u2581hello", "\u2581you"))
    figures = compare(FIRST, whole)
    assert (figures.unit, figures.compared) == ("words", 2)
    assert figures.mean_shift_s == pytest.approx((0.2 + 0.2) / 2)
    assert figures.frame_agreement is None


def test_alignments_without_common_utterances_are_refused():
    with pytest.raises(FormatError, match="no label or word in common"):
        compare(FIRST, one([2], key="other"))


@pytest.fixture
def data_dir(tmp_path):
    """One utterance of 0.8 s, one second into its recording."""
    samples = np.sin(np.arange(16000) / 5)[:, None] * [0.3, 0.1]
    audio = tmp_path / "call.wav"
    soundfile.write(audio, samples, 8000)
    utterance = Utterance(
        *(UTTERANCE, "call-A", "call-A", "hello you", str(audio), 0, 1.0, 1.8)
    )
    write_data_dir(tmp_path / "data", [utterance])
    return tmp_path / "data"


def test_pages_hold_picture_sound_and_words(tmp_path, data_dir):
    folder = tmp_path / "exp" / "align" / "two"
    sets, names = (FIRST, SECOND), ("one & only", "other")
    page = write_comparison(sets, names, folder, data_dir, [UTTERANCE])
    text = page.read_text(encoding="utf-8")
    assert "one &amp; only" in text and 'href="call-A_000100-000180.html"' in text
    assert "data:image/png;base64," in text and "<script" not in text
    own = (folder / f"{UTTERANCE}.html").read_text(encoding="utf-8")
    sound = own.split("data:audio/wav;base64,")[1].split('"')[0]
    (tmp_path / "back.wav").write_bytes(base64.b64decode(sound))
    samples, rate = soundfile.read(tmp_path / "back.wav")
    assert rate == 8000 and len(samples) == 6400 and abs(samples).max() > 0.25
    assert "http" not in own and own.count(">hello</th><td>") == 2
    figures = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert figures["figures"]["compared"] == 3
    section = "".join(alignment_section(tmp_path / "exp"))
    assert "133.3 ms" in section and "one &amp; only" in section
    assert alignment_section(tmp_path / "data") == []


def test_known_words_stand_below_both_alignments(tmp_path, data_dir):
    reference = tmp_path / "ref.ctm"
    lines = ["call A 1.05 0.3 Hello", "call A 1.45 0.2 you", "call A 1.9 0.1 no"]
    reference.write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = tmp_path / "two"
    write_comparison((FIRST, SECOND), "ab", folder, data_dir, [UTTERANCE], reference)
    own = (folder / f"{UTTERANCE}.html").read_text(encoding="utf-8")
    third = own.split("<h2>reference</h2>")[1]
    assert "Hello</th><td>0.050</td><td>0.350</td>" in third
    assert "you</th><td>0.450</td><td>0.650</td>" in third and ">no<" not in third


def test_a_page_without_audio_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="--data_dir"):
        write_comparison((FIRST, SECOND), "ab", tmp_path, None, [UTTERANCE])


def test_boundary_errors_are_those_counted_by_hand(tmp_path, data_dir):
    reference = tmp_path / "ref.ctm"
    lines = ["call A 1.05 0.3 Hello 1.0", "call A 1.45 0.2 you", "call A 1.9 0.1 no"]
    lines += ["call B 1.0 0.1 hello", ";; a comment"]
    reference.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_set(FIRST, tmp_path / "exp" / "dev" / "alignment.npz")
    (row,) = measure_all(reference, [tmp_path / "exp" / "dev"], data_dir)
    # ours: hello 1.0-1.2, you 1.4-1.5; said: hello 1.05-1.35, you 1.45-1.65
    assert row.words == 2 and row.share == 1.0 and row.name == "exp/dev"
    assert row.start_s == pytest.approx(0.05) and row.end_s == pytest.approx(0.15)
    assert row.start_bias_s == pytest.approx(-0.05)
    assert row.boundary_s == pytest.approx(0.1)
    assert row.near_50ms == pytest.approx(0.5)
    assert "| exp/dev | 2 | 100.0 % | 50 ms | 150 ms | 100 ms |" in boundary_table(
        [row]
    )


def test_a_reference_of_other_recordings_is_refused(tmp_path, data_dir):
    reference = tmp_path / "ref.ctm"
    reference.write_text("other A 1.0 0.3 hello\n", encoding="utf-8")
    write_set(FIRST, tmp_path / "alignment.npz")
    with pytest.raises(FormatError, match="no word of the alignment"):
        measure_all(reference, [tmp_path / "alignment.npz"], data_dir)
    reference.write_text("other A one 0.3 hello\n", encoding="utf-8")
    with pytest.raises(FormatError, match="line 1"):
        measure_all(reference, [tmp_path / "alignment.npz"], data_dir)


def test_words_belong_to_the_segment_that_their_middle_lies_in():
    words = [Word("a", 0.9, 1.2), Word("b", 1.9, 2.3)]
    assert words_between(words, Place("x", 1.0, 2.0)) == words[:1]
    assert words_between(words, Place("x", 1.0, None)) == words


@pytest.mark.parametrize(
    "units, tokens, expected",
    [
        ("pieces", ["\u2581a", "b", "\u2581", "c"], [("ab", 0, 2), ("c", 2, 4)]),
        ("joined", ["a@@", "b", "c"], [("ab", 0, 2), ("c", 2, 3)]),
        ("characters", ["a", "b", "<space>", "c"], [("ab", 0, 2), ("c", 3, 4)]),
        ("phonemes", ["AA", "B#", "K#"], [("AA B#", 0, 2), ("K#", 2, 3)]),
        ("words", ["ab", "c"], [("ab", 0, 1), ("c", 1, 2)]),
    ],
)
def test_labels_of_all_kinds_are_grouped_to_words(units, tokens, expected):
    assert word_groups(tokens, units) == expected
    assert word_groups([], units) == []


def test_units_are_told_by_the_token_type_and_the_tokens():
    assert units_of("bpe", TOKENS) == "pieces"
    assert units_of("char", "ab") == "characters"
    assert units_of("word", ["a@@", "b"]) == "joined"
    assert units_of("word", ["a", "b"]) == "words"
    assert units_of("word", ["K", "K#", "#"]) == "phonemes"
    assert units_of("word", ["c#", *"abcdef"]) == "words"


def test_the_page_says_which_alignment_is_later(tmp_path):
    for sets, expected in (
        ((FIRST, SECOND), "B is 133 ms later on"),
        ((SECOND, FIRST), "B is 133 ms earlier on"),
    ):
        page = write_comparison(sets, "AB", tmp_path)
        assert expected in page.read_text(encoding="utf-8")


def test_neighbours_in_a_lane_have_an_edge_between_them():
    """Else words that follow each other without a pause look like one."""
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    from espnet_ext.alignment.pictures import Label, Lane, _draw_lane

    axis = Figure().subplots()
    words = [Label(0.0, 0.4, "a"), Label(0.4, 1.2, "b")]
    _draw_lane(axis, Lane("x", words, words), "#1f5fa8", 1.0)
    for row in axis.collections:
        assert len(row.get_paths()) == 2
        assert to_hex(row.get_edgecolor()[0]) == "#ffffff"
    ends = [text.get_position()[0] for text in axis.texts if text.get_text() == "b"]
    assert max(ends) == pytest.approx(0.7)  # of what is heard, not of the last frame
