"""Selection without a common speaker or call, on graphs of callers like real ones."""

import random

import pytest

from espnet_ext.corpus.kaldi_dir import Utterance, call_of, utterance_id
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.selection import OTHER_SIDE, split_disjoint
from espnet_ext.errors import FormatError


def calls(pairs, per_side=5):
    """Utterances of calls between the speakers of each pair."""
    utterances = []
    for number, pair in enumerate(pairs, start=2001):
        for channel, speaker in enumerate(pair):
            side = f"sw0{number}-{'AB'[channel]}"
            for n in range(per_side):
                utterances.append(
                    Utterance(
                        utterance_id(side, n, n + 1),
                        side,
                        speaker or side,
                        "yes",
                        "x.sph",
                        channel,
                        float(n),
                        n + 1.0,
                    )
                )
    return utterances


def random_pairs(speakers, count, seed):
    chosen = random.Random(seed)
    return [
        tuple(f"sw{n:04d}" for n in chosen.sample(range(speakers), 2))
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_speaker_and_no_call_is_in_both_sets(seed):
    utterances = calls(random_pairs(60, 280, seed))
    log = PreparationLog()
    split = split_disjoint(utterances, log, 200)
    for key in (lambda u: u.speaker_id, lambda u: call_of(u.recording_id)):
        assert not {key(u) for u in split.train} & {key(u) for u in split.dev}
    assert 200 <= len(split.dev) <= 200 + 20 * 5
    assert len({u.speaker_id for u in split.dev}) >= 5
    lost = {entry.item for entry in log.entries}
    assert {entry.reason for entry in log.entries} == {OTHER_SIDE}
    assert len(split.train) + len(split.dev) + 5 * len(lost) == len(utterances)
    assert len(lost) * 5 <= len(split.dev)  # at most one side for each gained


def test_the_choice_depends_on_no_order():
    utterances = calls(random_pairs(40, 100, 1))
    forward = split_disjoint(utterances, PreparationLog(), 50)
    backward = split_disjoint(utterances[::-1], PreparationLog(), 50)
    assert set(forward.dev) == set(backward.dev)


def test_friends_who_only_talk_to_each_other_lose_nothing():
    utterances = calls([("a", "b"), ("c", "d"), ("d", "e"), ("c", "e")])
    log = PreparationLog()
    split = split_disjoint(utterances, log, 10)
    assert {u.speaker_id for u in split.dev} == {"a", "b"}
    assert log.entries == []


def test_sides_of_unknown_callers_are_never_chosen():
    utterances = calls([("a", None), ("b", "c"), ("b", "d"), ("c", "d")])
    split = split_disjoint(utterances, PreparationLog(), 1)
    assert all(u.speaker_id != u.recording_id for u in split.dev)


def test_without_a_table_of_callers_each_side_is_a_speaker():
    utterances = calls([(None, None)] * 4)
    split = split_disjoint(utterances, PreparationLog(), 6)
    assert len(split.dev) == 10
    assert len({call_of(u.recording_id) for u in split.dev}) == 1


def test_too_small_a_corpus_is_an_error_that_names_the_option():
    with pytest.raises(FormatError, match="training set is empty") as caught:
        split_disjoint(calls([("a", "b")]), PreparationLog(), 4)
    assert "--split" in caught.value.next_step
