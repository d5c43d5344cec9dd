"""Sizes of the official sets are compared, samples of them are not."""

import math

from espnet_ext.analysis.confidence import Interval
from espnet_ext.analysis.official import warnings
from espnet_ext.analysis.scores import Counts
from espnet_ext.analysis.tables import Row


def row(name, subset, segments, words, metric="hub5"):
    counts = Counts(segments, words, words)
    interval = Interval(math.nan, math.nan, "speaker")
    return Row(name, subset, metric, counts, interval, "sclite", "2.10")


def test_the_official_size_and_a_few_words_beside_it_are_silent():
    rows = [row("hub5e_00", "all", 4459, 42989), row("eval2000", "ch", 2628, 21600)]
    assert warnings([*rows, row("rt03s", "fsh", 3970, 36700)]) == []


def test_another_reference_is_warned_of_with_both_sizes():
    (line,) = warnings([row("eval2000", "swb", 1831, 19000)])
    assert "eval2000.swb: 1831 segments, 19000 words" in line
    assert "1831 and 21395" in line
    assert len(warnings([row("rt03", "all", 8000, 76157)])) == 1


def test_samples_other_sets_and_raw_rates_are_not_compared():
    rows = [row("hub5e_00", "all", 400, 2153), row("mine", "all", 4459, 30000)]
    assert warnings([*rows, row("hub5e_00", "all", 4459, 30000, "WER")]) == []
