"""Splits: by a list of calls, or the first utterances and a limit of equal texts."""

from collections import Counter
from dataclasses import replace

import pytest

from espnet_ext.corpus.kaldi_dir import Utterance, utterance_id
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.splits import (
    limit_same_text,
    most_frequent_text,
    overlap_warnings,
    split_by_calls,
    split_like_kaldi,
    split_like_rwth,
    split_on_test,
)
from espnet_ext.errors import FormatError


def utterance(call, number, text="yes", speaker=None):
    side = f"{call}-A"
    start = float(number)
    name = utterance_id(side, start, start + 1)
    return Utterance(name, side, speaker or side, text, "x.sph", 0, start, start + 1)


CALLS = [utterance(call, n) for call in ("sw02001", "sw02002") for n in range(5)]


def test_listed_calls_are_the_selection_set():
    split = split_by_calls(CALLS, ["sw02001"])
    assert {u.recording_id for u in split.dev} == {"sw02001-A"}
    assert {u.recording_id for u in split.train} == {"sw02002-A"}
    assert overlap_warnings(split) == []


def test_the_first_utterances_are_the_selection_set_of_kaldi():
    split = split_like_kaldi(list(reversed(CALLS)), 3)
    assert split.dev == CALLS[:3] and split.train == CALLS[3:]
    assert (
        "conversation(s) are in the training and the selection set"
        in overlap_warnings(split)[0]
    )


def test_a_common_speaker_is_a_warning():
    known = [
        utterance(u.recording_id[:-2], n, speaker="sw1028") for n, u in enumerate(CALLS)
    ]
    (warning,) = overlap_warnings(split_by_calls(known, ["sw02001"]))
    assert "1 speaker(s) are in the training" in warning and "first sw1028" in warning


@pytest.mark.parametrize(
    "split",
    [
        lambda: split_by_calls(CALLS, ["sw09999"]),
        lambda: split_by_calls(CALLS, ["sw02001", "sw02002"]),
        lambda: split_by_calls(CALLS, []),
        lambda: split_like_kaldi(CALLS, 10),
        lambda: split_like_kaldi(CALLS, 0),
    ],
)
def test_a_split_with_an_empty_set_or_an_unknown_call_is_an_error(split):
    with pytest.raises(FormatError):
        split()


def test_equal_texts_are_limited_and_logged():
    utterances = CALLS + [utterance("sw02003", n, "uh-huh") for n in range(2)]
    log = PreparationLog()
    kept = limit_same_text(utterances, 2, log)
    assert Counter(u.text for u in kept) == {"yes": 2, "uh-huh": 2}
    assert kept == [u for u in utterances if u in kept]  # the order stays
    assert len(log.entries) == 8
    assert {entry.reason for entry in log.entries} == {"text occurs more than 2 times"}


def test_the_choice_depends_on_ids_alone():
    log = PreparationLog()
    forward = limit_same_text(CALLS, 3, log)
    backward = limit_same_text(CALLS[::-1], 3, log)
    assert set(forward) == set(backward)


def test_without_a_limit_everything_stays():
    assert limit_same_text(CALLS, None, PreparationLog()) == CALLS


MANY = [utterance(f"sw0{2001 + n // 50}", n % 50, f"text {n}") for n in range(2000)]


def test_rwth_holds_out_nine_percent_and_selects_on_the_first_of_them():
    split = split_like_rwth(MANY, 30)
    devtrain = split.named("rwth")["devtrain"]
    held_out = round(2000 * 22489 / 249536)
    assert len(split.train) == 2000 - held_out
    assert len(split.dev) == len(devtrain) == 30
    train = {u.utterance_id for u in split.train}
    assert not train & {u.utterance_id for u in split.dev}
    assert {u.utterance_id for u in devtrain} <= train
    # from all over the corpus, and each set sorted
    assert len({u.recording_id for u in split.dev}) > 15
    for members in split.named("rwth").values():
        assert members == sorted(members, key=lambda u: u.utterance_id)


def test_the_sizes_of_rwth_follow_from_the_number_of_segments():
    """227,047 of 249,536 are trained on (reference/data.md)."""
    utterances = [replace(MANY[0], utterance_id=f"{n:06d}") for n in range(249536)]
    split = split_like_rwth(utterances)
    assert len(split.train) == 227047
    assert len(split.dev) == len(split.more["devtrain"]) == 3000


def test_only_the_selection_set_may_be_held_out():
    split = split_like_rwth(MANY, 30, held_out=30)
    assert len(split.train) == 1970 and len(split.dev) == 30


def test_selection_on_a_test_set_takes_segments_of_known_words():
    log = PreparationLog()
    test_set = [
        utterance("sw_4390", 1, "yes yes"),
        utterance("sw_4390", 2, "yes sir"),
        utterance("sw_4390", 3, ""),
    ]
    split = split_on_test(CALLS, test_set, log)
    assert split.train == CALLS and split.dev == test_set[:1]
    assert [(e.reason, e.detail) for e in log.entries] == [
        ("unknown words", "sir"),
        ("no words", ""),
    ]
    assert list(split.named("test_as_cv")) == [
        "train_select_on_test",
        "dev_select_on_test",
    ]


def test_the_most_frequent_text_is_counted():
    assert most_frequent_text(CALLS) == ("yes", 10)
