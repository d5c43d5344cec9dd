import pytest

from espnet_ext.analysis.stm import read_stm
from espnet_ext.errors import FormatError


def stm_of(tmp_path, text):
    (tmp_path / "stm").write_text(text)
    return read_stm(tmp_path / "stm")


def test_fields_labels_and_titles_are_read(tmp_path):
    stm = stm_of(
        tmp_path,
        ';; LABEL "en" "CallHome" "x"\nen_1 A en_1_A 0.50 2 <en> HE  IS\n'
        "en_1 A en_1_A 3.0 4.0\n",
    )
    assert stm.titles == {"en": "CallHome"}
    first, second = stm.segments
    assert first[:7] == ("en_1", "A", "en_1_A", 0.5, 2.0, ("en",), "HE IS")
    assert (second.text, second.labels, second.ignored) == ("", (), False)


def test_segments_come_in_the_order_of_side_and_time(tmp_path):
    stm = stm_of(tmp_path, "b A s 0 1 x\na B s 5 6 x\na B s 1 2 x\na A s 9 10 x\n")
    order = [(s.file, s.channel, s.start) for s in stm.segments]
    assert order == [("a", "A", 9.0), ("a", "B", 1.0), ("a", "B", 5.0), ("b", "A", 0.0)]


def test_an_ignored_segment_may_have_any_label(tmp_path):
    stm = stm_of(tmp_path, "f A s 0 1 <ZZ> ignore_time_segment_in_scoring\n")
    assert stm.segments[0].ignored


@pytest.mark.parametrize("line", ["f A s 0.0", "f A s zero 1.0 words", "", ";; only"])
def test_what_is_no_stm_is_refused(tmp_path, line):
    with pytest.raises(FormatError):
        stm_of(tmp_path, line + "\n")
