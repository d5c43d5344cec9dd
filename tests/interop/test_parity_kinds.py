"""What is read counts as compared; what is not, is reported."""

import numpy as np
import pytest

from espnet_ext.errors import FormatError
from espnet_ext.interop import parity_kinds
from espnet_ext.interop.comparison import Comparison, relative_error
from espnet_ext.interop.parity_file import ArrayFile, ParityFile


@pytest.fixture
def one_kind(monkeypatch):
    def compare(file):
        error = relative_error(np.ones(2), file.arrays["known"])
        yield Comparison("known", error, 0.0)

    kind = parity_kinds.Kind("test", parity_kinds.has("known"), compare)
    monkeypatch.setattr(parity_kinds, "KINDS", (kind,))


def compared(arrays):
    return parity_kinds.compare_file(ParityFile("start", ArrayFile(arrays)))


def test_an_array_that_nothing_reads_is_a_difference(one_kind):
    assert [c.passed for c in compared({"known": np.ones(2)})] == [True]
    more = compared({"known": np.ones(2), "out:new": np.ones(1)})
    assert [c.name for c in more if not c.passed] == [
        "out:new: in the file, not compared"
    ]


def test_listing_and_looking_for_names_is_not_reading():
    arrays = ArrayFile({"a": np.ones(1), "b": np.ones(1)})
    assert "a" in arrays and list(arrays) == ["a", "b"] and dict(arrays.items())
    assert arrays.read == set()
    arrays["b"]
    assert arrays.read == {"b"}


def test_a_file_of_no_kind_is_refused_with_what_it_holds(one_kind):
    with pytest.raises(FormatError, match="of no known kind; it holds \\['other'\\]"):
        compared({"other": np.ones(1)})


@pytest.mark.parametrize(
    "ours, original, error",
    [
        (np.ones(2), np.ones(3), np.inf),
        (np.zeros(0), np.zeros(0), 0.0),
        (np.full(2, 3.0), np.array([2.0, 4.0]), 0.25),
        (np.full(2, 1e-3), np.zeros(2), 1e-3),
    ],
)
def test_errors_are_relative_to_the_largest_value(ours, original, error):
    assert relative_error(ours, original) == pytest.approx(error)


def test_what_is_no_number_does_not_pass():
    assert not Comparison("x", float("nan"), 1.0).passed
