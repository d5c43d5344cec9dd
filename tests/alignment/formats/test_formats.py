"""What is exported comes back the same; each format is also read by other means."""

import numpy as np
import pytest

from espnet_ext.alignment.exchange import export, import_alignments
from espnet_ext.alignment.formats.textgrid import LABELS, intervals_of, read_tier
from espnet_ext.alignment.store import Aligned, AlignmentInfo, AlignmentSet
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from tests.alignment.cases import TOKENS, aligned_set, same
from tests.asr.loss.paths import TOPOLOGY_NAMES

FILES = {"kaldi": "alignment.scp", "ctm": "labels.ctm", "textgrid": "textgrid"}


def exported(made, folder, kind):
    export(made, folder, [kind])
    return folder / FILES[kind]


def labels_of(made):
    return {key: entry.labels.tolist() for key, entry in made.aligned.items()}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_import_gives_back_what_was_exported(tmp_path, name, kind):
    made = aligned_set(name)
    assert len(made.aligned) > 2
    back = import_alignments(exported(made, tmp_path, kind), made.info, labels_of(made))
    assert same(made, back, scores=False)


@pytest.mark.parametrize("kind", FILES)
def test_labels_are_found_again_where_symbols_tell_them(tmp_path, kind):
    made = aligned_set("ctc")
    back = import_alignments(exported(made, tmp_path, kind), made.info)
    assert same(made, back, scores=False)


def test_an_odd_frame_shift_of_long_speech_does_not_blur_the_frames(tmp_path):
    info = AlignmentInfo("rna", TOKENS, 0.0399999)
    symbols = np.zeros(5000, dtype=np.int32)
    symbols[[0, 1, 4999]] = [2, 2, 3]
    made = AlignmentSet(info)
    labels = np.array([2, 2, 3], dtype=np.int32)
    made.aligned["a"] = Aligned(symbols, labels, 5000)
    for kind in ("ctm", "textgrid"):
        back = import_alignments(exported(made, tmp_path, kind), info)
        assert back.aligned["a"].symbols.tolist() == symbols.tolist()


def parsed_textgrid(path):
    """Tiers of a long TextGrid, by position of lines as Praat's manual has them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == 'File type = "ooTextFile"'
    assert lines[1] == 'Object class = "TextGrid"' and lines[2] == ""
    xmax = float(lines[4].removeprefix("xmax = "))
    assert lines[3] == "xmin = 0" and lines[5] == "tiers? <exists>"
    tiers, place = {}, 8
    for number in range(1, int(lines[6].removeprefix("size = ")) + 1):
        assert lines[place].strip() == f"item [{number}]:"
        assert lines[place + 1].strip() == 'class = "IntervalTier"'
        name = lines[place + 2].strip().removeprefix('name = "')[:-1]
        assert lines[place + 4].strip() == f"xmax = {lines[4][7:]}"
        count = int(lines[place + 5].strip().removeprefix("intervals: size = "))
        place, rows = place + 6, []
        for row in range(1, count + 1):
            assert lines[place].strip() == f"intervals [{row}]:"
            start, end, text = (x.strip() for x in lines[place + 1 : place + 4])
            text = text.removeprefix('text = "')[:-1].replace('""', '"')
            rows.append((float(start[7:]), float(end[7:]), text))
            place += 4
        tiers[name] = rows
    assert place == len(lines)
    return xmax, tiers


def test_praat_sees_tiers_without_gaps_and_the_right_times(tmp_path):
    made = aligned_set("ctc")
    folder = exported(made, tmp_path, "textgrid")
    rows = (folder / "utterances").read_text(encoding="utf-8").splitlines()
    shift = made.info.frame_shift_s
    for row, (key, entry) in zip(rows, made.aligned.items()):
        assert row.split(" ")[0] == key
        xmax, tiers = parsed_textgrid(folder / row.split(" ")[1])
        assert xmax == pytest.approx(entry.frames * shift)
        for tier in tiers.values():
            edges = [tier[0][0], *(end for _, end, _ in tier)]
            assert edges[0] == 0 and edges[-1] == xmax and edges == sorted(set(edges))
            assert [start for start, _, _ in tier[1:]] == edges[1:-1]
        spoken = [TOKENS[label] for label in entry.labels]
        assert [text for _, _, text in tiers["labels"] if text] == spoken
        for start, end, text in tiers["labels"]:
            frames = entry.symbols[round(start / shift) : round(end / shift)]
            wanted = TOKENS.index(text) if text else 0
            assert set(frames.tolist()) == {wanted}


def test_words_have_the_times_of_their_first_and_last_label(tmp_path):
    info = AlignmentInfo("rna", TOKENS, 0.5)
    symbols = np.array([0, 2, 0, 3, 4, 0], dtype=np.int32)
    labels = np.array([2, 3, 4], dtype=np.int32)
    made = AlignmentSet(info, {"a": Aligned(symbols, labels, 6)})
    export(made, tmp_path, ["ctm"])
    lines = (tmp_path / "words.ctm").read_text(encoding="utf-8").splitlines()
    assert lines == [
        'a 1 0.500000 1.500000 he"llos',
        "a 1 2.000000 0.500000 yes",
    ]


def test_a_file_of_another_frame_shift_is_refused_with_its_line(tmp_path):
    made = aligned_set("ctc")
    path = exported(made, tmp_path, "ctm")
    other = AlignmentInfo("ctc", TOKENS, made.info.frame_shift_s * 1.9)
    with pytest.raises(FormatError, match="line 1: a frame shift of 0.06"):
        import_alignments(path, other)


def test_symbols_that_do_not_fit_the_labels_are_refused_with_the_utterance(tmp_path):
    made = aligned_set()
    path = exported(made, tmp_path, "kaldi")
    wrong = labels_of(made)
    key = next(key for key in wrong if wrong[key])
    wrong[key] = wrong[key] + [1]
    with pytest.raises(FormatError, match=f"{key}.*no rna alignment"):
        import_alignments(path, made.info, wrong)


def test_unknown_formats_and_missing_files_are_named(tmp_path):
    made = aligned_set()
    with pytest.raises(OptionError, match="kaldi, ctm, textgrid, hdf5"):
        export(made, tmp_path, ["praat"])
    with pytest.raises(MissingInputError):
        import_alignments(tmp_path / "no.scp", made.info)
    with pytest.raises(OptionError, match="no known format"):
        import_alignments(tmp_path / "a.txt", made.info)


def test_a_tier_begins_and_ends_with_the_utterance():
    assert intervals_of([], 2.0) == [(0.0, 2.0, "")]
    tier = intervals_of([(0.5, 1.0, "a"), (1.0, 1.5, "b")], 2.0)
    assert [i.text for i in tier] == ["", "a", "b", ""]


def test_a_missing_tier_is_named(tmp_path):
    made = aligned_set()
    folder = exported(made, tmp_path, "textgrid")
    path = sorted(folder.glob("*.TextGrid"))[0]
    assert read_tier(path, LABELS)
    with pytest.raises(FormatError, match="no tier 'phones'"):
        read_tier(path, "phones")
