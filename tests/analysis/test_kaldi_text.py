import pytest

from espnet_ext.analysis.kaldi_text import read_segments, read_sides, read_table
from espnet_ext.errors import FormatError


def written(tmp_path, text):
    (tmp_path / "file").write_text(text)
    return tmp_path / "file"


def test_a_value_may_be_empty_and_spaces_do_not_matter(tmp_path):
    table = read_table(written(tmp_path, "a  x   y\nb\nc \n"))
    assert table == {"a": "x y", "b": "", "c": ""}


@pytest.mark.parametrize("text", ["a x\n\nb y\n", "a x\na y\n"])
def test_empty_lines_and_double_keys_are_errors(tmp_path, text):
    with pytest.raises(FormatError, match="line 2"):
        read_table(written(tmp_path, text))


@pytest.mark.parametrize("text", ["u r 1\n", "u r 1 x\n", "u r 2 1\n"])
def test_segments_need_a_recording_and_two_times_in_order(tmp_path, text):
    with pytest.raises(FormatError):
        read_segments(written(tmp_path, text))


def test_a_side_has_a_file_and_a_channel(tmp_path):
    assert read_sides(written(tmp_path, "r f A\n")) == {"r": ("f", "A")}
    with pytest.raises(FormatError, match="FILE CHANNEL"):
        read_sides(written(tmp_path, "r f\n"))
